//! What notebooks complete and explain, by the real analyzer. Needs the sources of the standard library.

use std::time::{Duration, Instant};

use carrel_kernel::engine::{Completion, Engine, MimeBundle};
use carrel_kernel::rust_engine::RustEngine;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::analyzer::program;
use crate::notebook::Notebook;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn a_variable_of_an_earlier_cell_completes_its_methods() {
    let mut notebook = open();
    notebook.ok("let mut numbers = vec![1, 2, 3];").await;
    let found = completions(&notebook.engine, "numbers.pu|").await;
    let push = found.iter().find(|found| found.text == "push").unwrap();
    assert_eq!(push.kind, "method");
    assert!(push.signature.as_deref().unwrap().contains("&mut self"));
    let found = texts(&notebook.engine, "println!(\"{}\", numbers.is_e|)").await;
    assert_eq!(found, ["is_empty"]);
}

#[tokio::test]
async fn items_of_earlier_cells_complete_and_the_newest_counts() {
    let mut notebook = open();
    notebook
        .ok("struct Point { left: f64 }\nimpl Point { fn length(&self) -> f64 { self.left } }")
        .await;
    notebook.ok("let point = Point { left: 1.0 };").await;
    assert_eq!(
        texts(&notebook.engine, "point.le|").await,
        ["left", "length"]
    );
    assert_eq!(texts(&notebook.engine, "Point { l|").await[0], "left");
    notebook.ok("struct Point { legs: u8 }").await;
    notebook.ok("let point = Point { legs: 2 };").await;
    assert_eq!(texts(&notebook.engine, "point.le|").await, ["legs"]);
    assert_eq!(texts(&notebook.engine, "let p = Poin|").await[0], "Point");
}

#[tokio::test]
async fn paths_macros_keywords_and_names_of_the_cell_complete() {
    let notebook = open();
    let engine = &notebook.engine;
    let found = texts(engine, "use std::collections::Hash|;").await;
    assert!(found.contains(&"HashMap".to_owned()) && found.contains(&"HashSet".to_owned()));
    assert!(
        texts(engine, "let x: std::collections::BTreeM|")
            .await
            .contains(&"BTreeMap".to_owned())
    );
    assert_eq!(texts(engine, "printl|").await, ["println!"]);
    assert!(
        texts(engine, "let local = 1; loca|")
            .await
            .contains(&"local".to_owned())
    );
    assert!(texts(engine, "whi|").await.contains(&"while".to_owned()));
    assert_eq!(texts(engine, "Strin|").await[0], "String");
    assert_eq!(texts(engine, ":va|").await, ["vars"]);
    assert!(engine.complete(":dep se", 7).await.unwrap().is_empty());
}

#[tokio::test]
async fn tensors_complete_where_their_sources_are() {
    let mut notebook = open();
    notebook
        .ok("let tensor = Tensor::zeros((2, 2), DType::F32, &Device::Cpu)?;")
        .await;
    let found = texts(&notebook.engine, "tensor.mat|").await;
    assert!(found.contains(&"matmul".to_owned()), "{found:?}");
}

#[tokio::test]
async fn characters_before_the_cursor_may_be_long() {
    let mut notebook = open();
    notebook.ok("let größe = String::from(\"🦀\");").await;
    assert_eq!(texts(&notebook.engine, "\"🦀é\"; größ|").await, ["größe"]);
    assert_eq!(
        texts(&notebook.engine, "\"🦀é\"; größe.is_em|").await,
        ["is_empty"]
    );
}

#[tokio::test]
async fn a_broken_cell_completes_all_the_same() {
    let mut notebook = open();
    notebook.ok("let text = String::new();").await;
    for code in [
        "let x = (;\ntext.is_em|",
        "}}} text.is_em|\nfn ( {",
        "match text.is_em|",
        "fn f() { if text.len() == 0 { } let s = String::new(); s.is_em|",
        "let y = \"open\"; text.is_em| \"",
    ] {
        assert_eq!(texts(&notebook.engine, code).await, ["is_empty"], "{code}");
    }
}

#[tokio::test]
async fn inspection_shows_signature_documentation_and_source() {
    let mut notebook = open();
    notebook
        .ok("/// Says *hello*.\nfn greet(name: &str) -> String { loop { return name.into() } }")
        .await;
    notebook.ok("let names = vec![\"Ada\"];").await;
    let engine = &notebook.engine;
    let found = plain(&inspect(engine, "greet(|", false).await);
    assert!(found.contains("fn greet(name: &str) -> String"), "{found}");
    assert!(found.contains("Says *hello*."), "{found}");
    assert!(!found.contains("loop") && !found.contains("```"), "{found}");

    let bundle = inspect(engine, "gre|et", true).await;
    assert!(
        plain(&bundle).contains("Defined in Cell [1]"),
        "{}",
        plain(&bundle)
    );
    assert!(
        plain(&bundle).contains("{ loop { return name.into() } }"),
        "{}",
        plain(&bundle)
    );
    let markdown = bundle.data["text/markdown"].as_str().unwrap();
    assert!(markdown.starts_with("```rust\n"), "{markdown}");

    let found = plain(&inspect(engine, "names|", false).await);
    assert!(found.contains("names: Vec<&str>"), "{found}");
    let found = plain(&inspect(engine, "names.push|", false).await);
    assert!(found.contains("Appends an element to the back"), "{found}");
    assert!(engine.inspect("\"text\"; ", 8, false).await.is_none());
}

#[tokio::test]
async fn a_new_analyzer_answers_after_one_crashed() {
    let mut notebook = open();
    notebook.ok("let text = String::new();").await;
    texts(&notebook.engine, "text.is_em|").await;
    let asked = notebook.engine.inspect("text.len", 8, false);
    let crash = async { kill(running_analyzer(), Signal::SIGKILL).unwrap() };
    let (_, ()) = tokio::join!(asked, crash);
    assert_eq!(texts(&notebook.engine, "text.is_em|").await, ["is_empty"]);
}

/// Issue 19: the libraries are read while a person writes the next cell.
#[tokio::test]
async fn the_analyzer_gets_ready_when_the_notebook_is_still() {
    let mut notebook = open();
    assert!(analyzers().is_empty());
    notebook.ok("let text = String::new();").await;
    let begun = Instant::now();
    while analyzers().is_empty() {
        assert!(begun.elapsed() < LIMIT, "no analyzer came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_an_analyzer_there_is_no_completion_and_a_person_is_told_why() {
    let engine = RustEngine::with_analyzer("/nowhere/carrel-analyzer".into());
    assert!(engine.complete("wh", 2).await.is_none());
    let told = engine.inspect("String", 6, true).await.unwrap();
    assert!(plain(&told).contains("/nowhere/carrel-analyzer: No such file"));
    assert!(engine.complete(":he", 3).await.unwrap()[0].text == "help");
}

/// A notebook whose analyzer is there: without it nothing would ever be completed.
fn open() -> Notebook {
    program();
    Notebook::open()
}

/// Completions at `|`, once the analyzer has answered.
async fn completions(engine: &RustEngine, code: &str) -> Vec<Completion> {
    let (code, offset) = cursor(code);
    let begun = Instant::now();
    loop {
        if let Some(found) = engine.complete(&code, offset).await {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "no completion of {code:?}");
    }
}

pub async fn texts(engine: &RustEngine, code: &str) -> Vec<String> {
    let found = completions(engine, code).await;
    found.into_iter().map(|found| found.text).collect()
}

/// What `|` is at, once the analyzer has answered.
pub async fn inspect(engine: &RustEngine, code: &str, detail: bool) -> MimeBundle {
    let (code, offset) = cursor(code);
    let begun = Instant::now();
    loop {
        if let Some(found) = engine.inspect(&code, offset, detail).await {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "nothing is known about {code:?}");
    }
}

pub fn plain(bundle: &MimeBundle) -> String {
    bundle.data["text/plain"].as_str().unwrap().to_owned()
}

fn cursor(code: &str) -> (String, usize) {
    let offset = code.find('|').unwrap();
    (code.replacen('|', "", 1), offset)
}

fn running_analyzer() -> Pid {
    analyzers()[0]
}

/// Those that this process started; each test is a process of its own.
fn analyzers() -> Vec<Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let children = tasks.flat_map(|task| {
        let children = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap();
        children
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let is_analyzer = |pid: &String| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name.trim() == "carrel-analyzer")
    };
    let analyzers = children.into_iter().filter(is_analyzer);
    analyzers
        .map(|pid| Pid::from_raw(pid.parse().unwrap()))
        .collect()
}
