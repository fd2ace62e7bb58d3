//! Commands, which start with `:`.

use std::sync::Arc;
use std::time::Duration;

use carrel_kernel::engine::{Cell, Engine, Outcome, Output, StreamName};
use tokio::sync::mpsc;

use crate::interrupts;
use crate::notebook::{LIMIT, Notebook, Ran, plain};

/// What a command displayed.
pub fn shown(ran: &Ran) -> Vec<&str> {
    let texts = ran.outputs.iter().filter_map(|output| match output {
        Output::Display { bundle, .. } => bundle.data["text/plain"].as_str(),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn variables_and_types_are_told() {
    let mut notebook = Notebook::open();
    assert_eq!(shown(&notebook.ok(":vars").await), ["no variables"]);
    notebook
        .ok("struct P; let list = vec![(P, \"a\")]; let n = 1u8;")
        .await;
    let ran = notebook.ok(":vars\n:type (n, list)\n:t 1.0").await;
    assert_eq!(
        shown(&ran),
        [
            "list  std::vec::Vec<(P, &str)>\nn     u8",
            "(u8, std::vec::Vec<(P, &str)>)",
            "f64"
        ]
    );
    // `:type` ran nothing.
    assert_eq!(notebook.value("(n, list.len())").await, "(1, 1)");
    let failure = notebook.fails("compile error", ":type missing").await;
    assert!(failure.evalue.contains("`missing`"), "{}", failure.evalue);
    let unnamed = ":type (0..3).map(|n| n + 1)";
    let failure = notebook.fails("command error", unnamed).await;
    assert!(failure.evalue.contains("no name"), "{}", failure.evalue);
}

#[tokio::test]
async fn commands_precede_code_whose_errors_keep_their_lines() {
    let mut notebook = Notebook::open();
    let ran = notebook.ok(":opt 2\n:timing\n\n1 + 1").await;
    assert_eq!(shown(&ran), ["optimization: 2", "timing: on"]);
    assert_eq!(ran.value(""), "2");
    let stderr = ran.printed(StreamName::Stderr);
    assert!(
        stderr.contains("compiled in") && stderr.contains("ran in"),
        "{stderr}"
    );
    notebook.ok("let list = vec![1u8];").await;
    assert_eq!(notebook.value("list.len()").await, "1");
    let ran = notebook.ok(":timing\n:opt").await;
    assert_eq!(shown(&ran), ["timing: off", "optimization: 2"]);
    let failure = notebook
        .fails("panic", ":help\npanic!(\"on purpose\")")
        .await;
    assert_eq!(failure.evalue, "on purpose (Cell [5]:2:1)");
}

#[tokio::test]
async fn restart_keeps_items_and_clear_forgets_them() {
    let mut notebook = Notebook::open();
    notebook.ok("fn seven() -> u8 { 7 }\nlet x = 1;").await;
    let ran = notebook.ok(":restart\nseven()").await;
    assert_eq!(shown(&ran), ["a new worker; lost variables: x"]);
    assert_eq!(ran.value(""), "7");
    let text = plain(&notebook.fails("compile error", "x").await);
    assert!(text.contains("the worker was started again"), "{text}");
    notebook.ok(":clear").await;
    let failure = notebook.fails("compile error", "seven()").await;
    assert!(failure.evalue.contains("`seven`"), "{}", failure.evalue);
    assert_eq!(notebook.value("1 + 1").await, "2");
}

#[tokio::test]
async fn an_interrupt_ends_all_that_a_line_for_the_shell_started() {
    let mut notebook = Notebook::open();
    notebook.ok("let x = 1;").await;
    let engine = Arc::new(notebook.engine);
    // The pid of the second sleep, which is no child of the kernel.
    let line = "!sh -c 'sleep 600 & echo $!; wait'";
    let (sender, mut outputs) = mpsc::channel(1);
    let cell = Cell {
        number: 2,
        code: format!("{line}\nlet y = 2;"),
        allow_stdin: false,
        parent: Default::default(),
    };
    let running = async { engine.execute(&cell, sender).await };
    let interrupting = async {
        let mut printed = String::new();
        while let Some(output) = outputs.recv().await {
            if let Output::Stream { text, .. } = output {
                printed.push_str(&text);
                engine.interrupt();
            }
        }
        printed
    };
    let both = async { tokio::join!(running, interrupting) };
    let (outcome, printed) = tokio::time::timeout(LIMIT, both).await.unwrap();
    let Outcome::Failed(failure) = outcome else {
        panic!("it ran to its end")
    };
    assert_eq!(failure.ename, "Interrupted");
    let sleep: u32 = printed.trim().parse().unwrap();
    // Whoever adopts it may take a moment to see its end.
    let status = format!("/proc/{sleep}/status");
    let ended = async {
        while std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, ended).await.unwrap();
    assert_eq!(interrupts::value(&engine, "x").await, "1");
}

#[tokio::test]
async fn a_wrong_command_is_told_with_the_nearest() {
    let mut notebook = Notebook::open();
    for (code, told) in [
        (":var", "`:vars`"),
        (":restrat", "`:restart`"),
        (":opt 7", "0, 1, 2 or 3"),
        (":type", ":type 1 + 1"),
        (":dep rand 0.9", "as in a Cargo.toml"),
    ] {
        let failure = notebook.fails("command error", code).await;
        assert!(failure.evalue.contains(told), "{code}: {}", failure.evalue);
    }
}
