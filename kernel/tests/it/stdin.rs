//! Cells that read what a person types.

use carrel_kernel::engine::{Cell, Engine, Outcome, Output};
use tokio::sync::mpsc;

use crate::notebook::{LIMIT, Notebook};

#[tokio::test]
async fn stdin_reads_what_the_person_answers() {
    let mut notebook = Notebook::open();
    let code = "let mut line = String::new();
        print!(\"name? \");
        std::io::stdin().read_line(&mut line)?;
        let second = std::thread::spawn(|| std::io::stdin().lines().next().unwrap().unwrap()).join().unwrap();
        let rest: Vec<_> = std::io::stdin().lines().map_while(Result::ok).collect();
        (line, second, rest, std::io::read_to_string(std::io::stdin())?)";
    let answers = ["Ada", "é🦀", "", "two", "^D", "a", "b", "\u{4}"];
    let ran = notebook.run_answering(code, Some(&answers)).await;
    assert!(ran.failure.is_none(), "{:?}", ran.failure);
    assert_eq!(
        ran.value(code),
        "(\"Ada\\n\", \"é🦀\", [\"\", \"two\"], \"a\\nb\\n\")"
    );
    assert_eq!(ran.asked, vec![(String::new(), false); answers.len()]);
    assert_eq!(ran.stdout(), "name? ");
}

#[tokio::test]
async fn input_and_password_ask_with_a_prompt() {
    let mut notebook = Notebook::open();
    let code = "(input(\"name? \")?, password(\"secret? \")?)";
    let ran = notebook.run_answering(code, Some(&["Ada", "x"])).await;
    assert_eq!(ran.value(code), "(\"Ada\", \"x\")");
    let asked = [("name? ".to_owned(), false), ("secret? ".to_owned(), true)];
    assert_eq!(ran.asked, asked);
    let ran = notebook.run_answering("input(\"?\")?", Some(&["^D"])).await;
    assert_eq!(ran.failure.unwrap().evalue, "the input has ended");
}

#[tokio::test]
async fn stdin_is_at_its_end_where_nobody_can_be_asked() {
    let mut notebook = Notebook::open();
    let read = "std::io::stdin().read_line(&mut String::new())?";
    assert_eq!(notebook.value(read).await, "0");
    let failure = notebook.fails("Error", "input(\"name? \")?").await;
    assert!(failure.evalue.contains("takes no input"), "{failure:?}");
    // A program that a cell starts does not take the person's answers.
    let code = "String::from_utf8(std::process::Command::new(\"cat\").stdin(std::process::Stdio::inherit()).output()?.stdout)?";
    let ran = notebook.run_answering(code, Some(&["never"])).await;
    assert_eq!((ran.value(code).as_str(), ran.asked.len()), ("\"\"", 0));
}

#[tokio::test]
async fn a_thread_that_waits_for_input_holds_nothing_up_and_ends_with_its_cell() {
    let mut notebook = Notebook::open();
    let code = "let asking = std::thread::spawn(|| std::io::stdin().read_line(&mut String::new()).unwrap());
        for n in 0..3 { display(&n); }";
    let ran = notebook.run_answering(code, Some(&[])).await;
    assert!(ran.failure.is_none(), "{:?}", ran.failure);
    assert_eq!(notebook.value("asking.join().unwrap()").await, "0");
}

#[tokio::test]
async fn an_interrupt_ends_the_wait_for_input_and_keeps_the_variables() {
    let mut notebook = Notebook::open();
    notebook.ok("let x = 1;").await;
    for (number, code) in [
        "let line = input(\"? \")?;",
        "let mut line = String::new(); std::io::stdin().read_line(&mut line)?;",
        "for line in std::io::stdin().lines() { let _ = line.unwrap(); }",
        "let text = std::io::read_to_string(std::io::stdin())?;",
    ]
    .into_iter()
    .enumerate()
    {
        let cell = Cell {
            number: number as u32,
            code: code.to_owned(),
            allow_stdin: true,
            parent: Default::default(),
        };
        let (sender, mut outputs) = mpsc::channel(1);
        let interrupting = async {
            let mut questions = Vec::new();
            while let Some(output) = outputs.recv().await {
                if let Output::Input { reply, .. } = output {
                    questions.push(reply);
                    notebook.engine.interrupt();
                }
            }
        };
        let running = async { tokio::join!(notebook.engine.execute(&cell, sender), interrupting) };
        let (outcome, ()) = tokio::time::timeout(LIMIT, running).await.unwrap();
        let Outcome::Failed(failure) = outcome else {
            panic!("{code} ran to its end")
        };
        assert_eq!(failure.ename, "Interrupted", "{code}: {}", failure.evalue);
        assert!(failure.evalue.ends_with("all variables are kept"));
    }
    assert_eq!(notebook.value("x").await, "1");
}
