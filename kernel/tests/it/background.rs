//! What threads and tasks print and show that outlive their cell.

use std::sync::Arc;
use std::time::Duration;

use carrel_kernel::engine::{Cell, Engine, Late, Outcome, Output};
use carrel_kernel::rust_engine::RustEngine;
use serde_json::json;
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(20);

struct Background {
    engine: RustEngine,
    late: mpsc::UnboundedReceiver<Late>,
}

impl Background {
    fn open() -> Self {
        let engine = RustEngine::default();
        let mut outputs = engine.late().unwrap();
        let (sender, late) = mpsc::unbounded_channel();
        // As the kernel does: who takes none holds up threads, and with them the end of a cell that is told after.
        tokio::spawn(async move {
            while let Some(output) = outputs.recv().await {
                let _ = sender.send(output);
            }
        });
        Self { engine, late }
    }

    /// Runs a cell under a parent of its number; gives what it printed itself.
    async fn run(&self, number: u32, code: &str) -> String {
        let cell = Cell {
            number,
            code: code.to_owned(),
            allow_stdin: false,
            parent: Arc::new(json!(number)),
        };
        let (sender, mut outputs) = mpsc::channel(1);
        let collect = async {
            let mut printed = String::new();
            while let Some(output) = outputs.recv().await {
                if let Output::Stream { text, .. } = output {
                    printed += &text;
                }
            }
            printed
        };
        let run = async { tokio::join!(self.engine.execute(&cell, sender), collect) };
        let (outcome, printed) = tokio::time::timeout(LIMIT, run).await.unwrap();
        assert!(matches!(outcome, Outcome::Ok), "{outcome:?}");
        printed
    }

    /// Text of the cell `number` until it ends with `end`.
    async fn text(&mut self, number: u32, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let late = tokio::time::timeout(LIMIT, self.late.recv()).await;
            let Late { parent, output } = late.unwrap_or_else(|_| panic!("only {text:?}")).unwrap();
            assert_eq!(*parent, json!(number), "{output:?}");
            match output {
                Output::Stream { text: more, .. } => text += &more,
                Output::Display { bundle, .. } => text += &bundle.data["text/plain"].to_string(),
                other => panic!("{other:?}"),
            }
        }
        text
    }
}

#[tokio::test]
async fn what_a_thread_prints_after_its_cell_comes_at_once_as_that_cells() {
    let mut cells = Background::open();
    let wait = "std::thread::sleep(std::time::Duration::from_millis(300));";
    let code = format!("std::thread::spawn(|| {{ {wait} println!(\"late é\"); display(&7); }});");
    cells.run(1, &code).await;
    // While no cell runs.
    assert_eq!(cells.text(1, "\"7\"").await, "late é\n\"7\"");
    let code = "tokio::spawn(async { tokio::time::sleep(std::time::Duration::from_millis(300)).await; println!(\"task\"); panic!(\"in the task\") });
        std::thread::spawn(|| { let c = std::thread::spawn(|| { std::thread::sleep(std::time::Duration::from_millis(900)); eprintln!(\"child\"); }); c.join() });";
    cells.run(2, code).await;
    // While another cell runs, whose own text is apart.
    let other = cells.run(3, "for _ in 0..20 { println!(\"own\"); std::thread::sleep(std::time::Duration::from_millis(20)); }").await;
    assert_eq!(other, "own\n".repeat(20));
    let text = cells.text(2, "child\n").await;
    assert!(
        text.starts_with("task\n") && text.contains("in the task"),
        "{text}"
    );
}

#[tokio::test]
async fn a_thread_that_prints_much_does_not_wait_for_the_next_cell() {
    let mut cells = Background::open();
    let code = "std::thread::spawn(|| { for _ in 0..5000 { println!(\"{}\", \"z\".repeat(99)); } println!(\"end\"); });";
    // What comes before the cell is done is the cell's.
    let mut text = cells.run(1, code).await;
    if !text.ends_with("end\n") {
        text += &cells.text(1, "end\n").await;
    }
    assert_eq!(text.len(), 5000 * 100 + 4);
}

#[tokio::test]
async fn what_the_c_library_prints_comes_with_its_cell() {
    let cells = Background::open();
    cells
        .run(1, "unsafe extern \"C\" { fn puts(text: *const std::ffi::c_char) -> i32; fn printf(text: *const std::ffi::c_char, ...) -> i32; fn putchar(letter: i32) -> i32; }")
        .await;
    let code = "println!(\"rust\"); unsafe { puts(c\"from C\".as_ptr()); printf(c\"n %d\".as_ptr(), 5); putchar(33) };";
    assert_eq!(cells.run(2, code).await, "rust\nfrom C\nn 5!");
}
