//! Cells that fail, and what is left after them.

use crate::notebook::{Notebook, plain};

#[tokio::test]
async fn a_panic_keeps_the_variables_that_were_not_moved() {
    let mut notebook = Notebook::open();
    notebook
        .ok("let mut list = vec![1]; let name = String::from(\"n\"); let used = 3;")
        .await;
    let failure = notebook.fails("panic", "list.push(2);\nlet taken = name;\nif used == 3 {\n    panic!(\"on {}\", \"purpose\") }").await;
    assert_eq!(failure.evalue, "on purpose (Cell [2]:4:5)");
    assert!(
        plain(&failure).contains("4 |     panic!(\"on {}\", \"purpose\") }"),
        "{}",
        plain(&failure)
    );
    assert_eq!(notebook.value("(list, used)").await, "([1, 2], 3)");
    let text = plain(&notebook.fails("compile error", "name").await);
    assert!(text.contains("it was moved in Cell [2]"), "{text}");
}

#[tokio::test]
async fn a_panic_in_a_function_is_told_at_the_cell_that_defines_it() {
    let mut notebook = Notebook::open();
    notebook.ok("fn third(v: &[u8]) -> u8 {\n    v[2]\n}").await;
    let failure = notebook.fails("panic", "third(&[1])").await;
    assert_eq!(
        failure.evalue,
        "index out of bounds: the len is 1 but the index is 2 (Cell [1]:2:5)"
    );
    let failure = notebook.fails("panic", "std::panic::panic_any(1)").await;
    assert!(
        failure.evalue.ends_with("(Cell [3]:1:1)"),
        "{}",
        failure.evalue
    );
    let ran = notebook
        .ok("std::thread::spawn(|| third(&[])).join().is_err()")
        .await;
    assert_eq!(ran.value(""), "true");
    let stderr = ran.printed(carrel_kernel::engine::StreamName::Stderr);
    assert!(
        stderr.contains("panic in a thread") && stderr.contains("Cell [1]:2:5"),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_question_mark_fails_with_the_chain_of_causes() {
    let mut notebook = Notebook::open();
    notebook.ok("let kept = 1;").await;
    let failure = notebook
        .fails("Error", "let n: i32 = kept;\nlet m: i32 = \"x\".parse()?;")
        .await;
    assert_eq!(failure.evalue, "invalid digit found in string");
    assert!(
        plain(&failure).contains("--> Cell [2]:2:14"),
        "{}",
        plain(&failure)
    );
    notebook
        .ok("#[derive(Debug)] struct Outer(std::num::ParseIntError);
             impl std::fmt::Display for Outer { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { f.write_str(\"outer\") } }
             impl std::error::Error for Outer { fn source(&self) -> Option<&(dyn std::error::Error + 'static)> { Some(&self.0) } }")
        .await;
    let failure = notebook
        .fails("Error", "\"x\".parse::<u8>().map_err(Outer)?")
        .await;
    assert_eq!(failure.evalue, "outer");
    assert!(
        plain(&failure).ends_with("caused by: invalid digit found in string"),
        "{}",
        plain(&failure)
    );
    notebook.fails("Error", "Err::<u8, _>(\"a text\")?").await;
    assert_eq!(notebook.value("kept").await, "1");
}

#[tokio::test]
async fn a_compile_error_stands_at_the_cells_own_lines() {
    let mut notebook = Notebook::open();
    let failure = notebook
        .fails("compile error", "fn one() -> u8 { 1 }\n// é\nlet a = 1;\n    let wrong: u8 = /* é */ true;\nstruct S { a: Missing }")
        .await;
    let text = plain(&failure);
    assert!(text.contains("--> Cell [1]:4:29"), "{text}");
    assert!(
        text.contains("4 |     let wrong: u8 = /* é */ true;"),
        "{text}"
    );
    assert!(text.contains("^^^^ expected `u8`, found `bool`"), "{text}");
    assert!(
        !text.contains("__scope") && !text.contains("carrel_prelude"),
        "{text}"
    );
    let text = plain(
        &notebook
            .fails("compile error", "let x = Missing;\nlet y = 1u8 + \"a\";")
            .await,
    );
    assert!(
        text.contains("Cell [2]:1:9") && text.contains("Cell [2]:2:13"),
        "{text}"
    );
}

#[tokio::test]
async fn an_import_is_suggested_without_a_place() {
    let mut notebook = Notebook::open();
    let failure = notebook
        .fails("compile error", "let map = HashMap::<u8, u8>::new();")
        .await;
    let text = plain(&failure);
    assert!(text.contains("`use std::collections::HashMap;`"), "{text}");
    assert!(text.contains("--> Cell [1]:1:11"), "{text}");
}

#[tokio::test]
async fn a_syntax_error_stands_at_its_place() {
    let mut notebook = Notebook::open();
    for (code, place) in [
        ("let = 1;", "Cell [1]:1:5"),
        ("1 +\n)", "Cell [2]:2:1"),
        ("let s = \"open", "Cell [3]:1:9"),
    ] {
        let failure = notebook.fails("compile error", code).await;
        assert!(
            plain(&failure).contains(place),
            "{code}: {} {}",
            failure.evalue,
            plain(&failure)
        );
    }
    let deep = format!("{}1{}", "(".repeat(5000), ")".repeat(5000));
    notebook.fails("compile error", &deep).await;
    assert_eq!(notebook.value("1 + 1").await, "2");
}

#[tokio::test]
async fn a_dead_worker_is_named_with_what_was_lost_and_items_come_back() {
    let mut notebook = Notebook::open();
    notebook
        .ok("fn seven() -> u8 { 7 }\nlet x = 1; let y = 2;")
        .await;
    let failure = notebook.fails("worker died", "std::process::exit(3)").await;
    assert_eq!(
        failure.evalue,
        "it exited with code 3; lost variables: x, y"
    );
    assert_eq!(notebook.value("seven()").await, "7");
    let failure = notebook
        .fails(
            "worker died",
            "println!(\"last words\"); std::process::abort()",
        )
        .await;
    assert_eq!(
        failure.evalue,
        "it was ended by SIGABRT (signal 6), as by std::process::abort or a panic in a destructor; no variables were lost"
    );
    for (code, told) in [
        (
            "let kept = 1; fn down(n: u64) -> u64 { if n == 0 { 0 } else { 1 + down(n + 1) } }\ndown(1)",
            "the stack overflowed",
        ),
        (
            "std::thread::spawn(|| { fn deep(n: &mut u64) { *n += 1; deep(n); *n -= 1; } deep(&mut 0) }).join();",
            "the stack overflowed",
        ),
        (
            "unsafe { std::ptr::null_mut::<u8>().write_volatile(1) }",
            "SIGSEGV (signal 11), an access to memory that is not there",
        ),
        (
            "let all: Vec<u8> = Vec::with_capacity(isize::MAX as usize);",
            "memory ran out",
        ),
    ] {
        notebook.ok("let z = seven();").await;
        let failure = notebook.fails("worker died", code).await;
        assert!(
            failure.evalue.contains(told) && failure.evalue.ends_with("lost variables: z"),
            "{code}: {}",
            failure.evalue
        );
    }
    assert_eq!(notebook.value("seven()").await, "7");
    let text = plain(&notebook.fails("compile error", "x").await);
    assert!(text.contains("it was lost when the worker died"), "{text}");
}
