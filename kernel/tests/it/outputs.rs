//! What real cells print and show.

use carrel_kernel::engine::{Engine, Output, StreamName};

use crate::notebook::Notebook;

#[tokio::test]
async fn stdout_and_stderr_are_apart_and_complete() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("print!(\"no line end\"); eprint!(\"é🦀\"); println!(); println!(\"日本\");")
        .await;
    assert_eq!(ran.stdout(), "no line end\n日本\n");
    assert_eq!(ran.printed(StreamName::Stderr), "é🦀");
    let ran = notebook
        .ok("use std::io::Write; std::io::stdout().write_all(b\"a\\xffb\")?;")
        .await;
    assert_eq!(ran.stdout(), "a\u{fffd}b");
}

#[tokio::test]
async fn ten_thousand_lines_come_whole() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("for i in 0..10000 { println!(\"line {i}\"); }")
        .await;
    let expected: String = (0..10_000).map(|i| format!("line {i}\n")).collect();
    assert_eq!(ran.stdout(), expected);
}

#[tokio::test]
async fn what_is_shown_stands_between_what_is_printed() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("println!(\"a\"); display_mime(\"text/html\", \"<b>b</b>\"); println!(\"c\"); clear_output(true); display(&vec![1]); display_mime(\"application/json\", \"{\\\"k\\\": 1}\"); \"value\"")
        .await;
    let told: Vec<String> = ran
        .outputs
        .iter()
        .map(|output| match output {
            Output::Stream { text, .. } => text.trim().to_owned(),
            Output::Display { bundle, .. } => bundle
                .data
                .iter()
                .map(|(mime, data)| format!("{mime} {data}"))
                .collect(),
            Output::ClearOutput { wait } => format!("clear {wait}"),
            Output::Result { bundle } => bundle.data["text/plain"].to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "a",
            "text/html \"<b>b</b>\"",
            "c",
            "clear true",
            "text/plain \"[1]\"",
            "application/json {\"k\":1}",
            "\"\\\"value\\\"\""
        ]
    );
}

#[tokio::test]
async fn values_show_themselves_as_well_as_they_can() {
    let mut notebook = Notebook::open();
    notebook.ok("struct Silent; struct Fancy; impl Rich for Fancy { fn rich(&self) -> MimeBundle { MimeBundle::plain(\"fancy\").with(\"text/html\", \"<i>fancy</i>\") } }").await;
    let ran = notebook.ok("Fancy").await;
    assert_eq!(ran.data("text/html").as_deref(), Some("<i>fancy</i>"));
    assert_eq!(notebook.ok("Silent").await.data("text/plain"), None);
    for quiet in [
        "",
        "1;",
        "()",
        "// only a comment",
        "let x = 1",
        "for _ in 0..2 {}",
        "fn f() {}",
    ] {
        let code = if quiet == "let x = 1" {
            "let x = 1;"
        } else {
            quiet
        };
        assert_eq!(notebook.ok(code).await.data("text/plain"), None, "{code}");
    }
    assert_eq!(
        notebook.value("if true { \"yes\" } else { \"no\" }").await,
        "\"yes\""
    );
    assert_eq!(notebook.value("loop { break 5 }").await, "5");
    assert_eq!(
        notebook.value("u128::MAX / 3").await,
        (u128::MAX / 3).to_string()
    );
}

#[tokio::test]
async fn warnings_of_the_cell_go_to_stderr_and_unused_ones_nowhere() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("let unused = 1;\nfn never() {}\nmod inner { fn dead() {} }")
        .await;
    assert_eq!(ran.printed(StreamName::Stderr), "");
    let ran = notebook.ok("Err::<u8, u8>(1);").await;
    let stderr = ran.printed(StreamName::Stderr);
    assert!(
        stderr.contains("warning[unused_must_use]") && stderr.contains("Cell [2]:1:1"),
        "{stderr}"
    );
    assert!(!stderr.contains("command line"), "{stderr}");
}

#[tokio::test]
async fn expressions_are_evaluated_for_the_frontend() {
    let mut notebook = Notebook::open();
    notebook.engine.warm_up().await;
    notebook.ok("let x = 20;").await;
    assert_eq!(
        notebook.engine.evaluate("x + 1").await.unwrap().data["text/plain"],
        "21"
    );
    assert_eq!(
        notebook.engine.evaluate("nope").await.unwrap_err().ename,
        "compile error"
    );
}

#[tokio::test]
async fn a_type_shows_itself_by_evcxr_display() {
    let mut notebook = Notebook::open();
    let ran = notebook
        .ok("#[derive(Debug)] struct Figure;
             impl Figure {
                 fn evcxr_display(&self) {
                     println!(\"EVCXR_BEGIN_CONTENT image/svg+xml\\n<svg/>\\nEVCXR_END_CONTENT\");
                 }
             }
             println!(\"before\");
             Figure")
        .await;
    let [Output::Stream { text, .. }, Output::Display { bundle, .. }] = &ran.outputs[..] else {
        panic!("{:?}", ran.outputs)
    };
    assert_eq!(text, "before\n");
    assert_eq!(bundle.data["image/svg+xml"], "<svg/>");
    assert_eq!(notebook.value("vec![Figure]").await, "[Figure]");
}

#[tokio::test]
async fn what_only_begins_like_a_content_is_printed() {
    let mut notebook = Notebook::open();
    let code =
        "print!(\"EVCXR_BEGIN_CONTENT text/html\\n<b>\"); eprintln!(\"more\"); print!(\"EVCXR_\");";
    let ran = notebook.ok(code).await;
    assert_eq!(ran.stdout(), "EVCXR_BEGIN_CONTENT text/html\n<b>EVCXR_");
}

#[tokio::test]
async fn stdout_and_stderr_are_terminals_to_libraries_and_not_to_programs() {
    let mut notebook = Notebook::open();
    let code = "use std::io::{self, IsTerminal};
        let null = std::fs::File::open(\"/dev/null\")?;
        [io::stdout().is_terminal(), io::stderr().is_terminal(), io::stdin().is_terminal(), null.is_terminal()]";
    assert_eq!(notebook.value(code).await, "[true, true, false, false]");
    let code = "std::process::Command::new(\"test\").args([\"-t\", \"1\"]).status()?.success()";
    assert_eq!(notebook.value(code).await, "false");
}
