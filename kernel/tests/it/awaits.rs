//! Cells that wait for futures, and tasks that live on.

use carrel_kernel::engine::StreamName;

use crate::notebook::{Notebook, plain};

#[tokio::test]
async fn await_works_at_top_level_beside_a_question_mark() {
    let mut notebook = Notebook::open();
    notebook
        .ok("use std::time::Duration;\nasync fn later(n: u8) -> Result<u8, String> { tokio::time::sleep(Duration::from_millis(1)).await; if n > 9 { Err(\"too much\".into()) } else { Ok(n) } }\nlet mut list = vec![1u8];")
        .await;
    notebook
        .ok("let a = later(1).await?;\nlist.push(later(2).await?);\nlet f = async |n| later(n).await;\nlet b = f(3).await?;")
        .await;
    assert_eq!(notebook.value("(a, b, &list)").await, "(1, 3, [1, 2])");
    assert_eq!(
        notebook
            .value("tokio::join!(later(4), async { 5 }).0?")
            .await,
        "4"
    );
    let select = "tokio::select! { n = later(4) => n?, () = std::future::pending() => 0 }";
    assert_eq!(notebook.value(select).await, "4");
    let ran = notebook.ok("println!(\"{:?}\", later(6).await);").await;
    assert_eq!(ran.stdout(), "Ok(6)\n");
    let failure = notebook
        .fails("Error", "list.push(7);\nlater(10).await?;")
        .await;
    assert_eq!(failure.evalue, "too much");
    assert!(
        plain(&failure).contains("--> Cell [7]:2:1"),
        "{}",
        plain(&failure)
    );
    assert_eq!(notebook.value("list").await, "[1, 2, 7]");
}

#[tokio::test]
async fn tasks_live_on_between_cells() {
    let mut notebook = Notebook::open();
    notebook
        .ok("let (sender, mut receiver) = tokio::sync::mpsc::channel::<u32>(1);\nlet (answers, mut answered) = tokio::sync::mpsc::channel::<u32>(1);")
        .await;
    notebook
        .ok("let task = tokio::spawn(async move { while let Some(n) = receiver.recv().await { answers.send(n * 2).await.unwrap(); } \"ended\" });")
        .await;
    notebook.ok("sender.send(21).await?;").await;
    notebook.fails("panic", "panic!()").await;
    assert_eq!(notebook.value("answered.recv().await").await, "Some(42)");
    notebook.ok("drop(sender);").await;
    assert_eq!(notebook.value("task.await?").await, "\"ended\"");
    // A runtime of the person's own is no trouble.
    let own = "tokio::runtime::Runtime::new()?.block_on(async { 1 })";
    assert_eq!(notebook.value(own).await, "1");
}

#[tokio::test]
async fn a_panic_over_an_await_keeps_what_was_only_borrowed() {
    let mut notebook = Notebook::open();
    notebook
        .ok("let mut list = vec![1]; let name = String::new();")
        .await;
    let failure = notebook
        .fails(
            "panic",
            "list.push(2); let moved = name;\ntokio::task::yield_now().await;\npanic!(\"late\")",
        )
        .await;
    assert_eq!(failure.evalue, "late (Cell [2]:3:1)");
    assert_eq!(notebook.value("list").await, "[1, 2]");
    let text = plain(&notebook.fails("compile error", "name").await);
    assert!(text.contains("it was moved in Cell [2]"), "{text}");
    let ran = notebook
        .ok("tokio::spawn(async { panic!(\"in a task\") }).await.is_err()")
        .await;
    assert_eq!(ran.value(""), "true");
    let stderr = ran.printed(StreamName::Stderr);
    assert!(stderr.contains("in a task"), "{stderr}");
}

#[tokio::test]
async fn await_in_a_function_that_is_not_async_is_explained() {
    let mut notebook = Notebook::open();
    let failure = notebook
        .fails("compile error", "let f = || std::future::ready(1).await;")
        .await;
    let text = plain(&failure);
    assert!(
        text.contains("`.await` works at the top level of a cell"),
        "{text}"
    );
}
