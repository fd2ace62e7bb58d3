//! A notebook with verbs over the real engine. Needs the prepared crates in `$CARREL_PRELUDE_DIR`; `make test` sets it.

use std::time::Duration;

use carrel_kernel::engine::{Cell, Engine, Failure, Outcome, Output, StreamName};
use carrel_kernel::rust_engine::RustEngine;
use tokio::sync::mpsc;

pub const LIMIT: Duration = Duration::from_secs(60);

/// A notebook with verbs.
pub struct Notebook<E = RustEngine> {
    pub engine: E,
    number: u32,
    limit: Duration,
}

/// What a cell gave.
#[derive(Debug)]
pub struct Ran {
    pub failure: Option<Failure>,
    pub outputs: Vec<Output>,
    /// Prompts of its questions, and whether they asked for a password.
    pub asked: Vec<(String, bool)>,
}

impl Notebook {
    pub fn open() -> Self {
        assert!(
            std::env::var_os("CARREL_PRELUDE_DIR").is_some(),
            "$CARREL_PRELUDE_DIR is not set; `make test` prepares the crates for cells and sets it, or run \
             `cargo build --release -p carrel-kernel -p carrel-worker` and \
             `target/release/carrel-kernel prepare --from target/release --to target/prelude`"
        );
        Self::over(RustEngine::default())
    }
}

impl<E: Engine> Notebook<E> {
    pub fn over(engine: E) -> Self {
        Self {
            engine,
            number: 0,
            limit: LIMIT,
        }
    }

    /// The same for cells that build crates.
    pub fn waiting(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    pub async fn run(&mut self, code: &str) -> Ran {
        self.run_answering(code, None).await
    }

    /// Runs a cell whose questions are answered with these lines; more questions are left open.
    pub async fn run_answering(&mut self, code: &str, answers: Option<&[&str]>) -> Ran {
        self.number += 1;
        self.run_numbered(code, answers).await
    }

    /// Runs a cell with the number of the one before.
    pub async fn run_again(&mut self, code: &str) -> Ran {
        self.run_numbered(code, None).await
    }

    async fn run_numbered(&mut self, code: &str, answers: Option<&[&str]>) -> Ran {
        let cell = Cell {
            number: self.number,
            code: code.to_owned(),
            allow_stdin: answers.is_some(),
            parent: Default::default(),
        };
        let mut answers = answers.unwrap_or_default().iter();
        let (sender, mut received) = mpsc::channel(1);
        let mut outputs = Vec::new();
        let mut open = Vec::new();
        let mut asked = Vec::new();
        let collect = async {
            while let Some(output) = received.recv().await {
                match output {
                    Output::Input {
                        prompt,
                        password,
                        reply,
                    } => {
                        asked.push((prompt, password));
                        match answers.next() {
                            Some(line) => reply.send((*line).to_owned()).unwrap(),
                            None => open.push(reply),
                        }
                    }
                    output => outputs.push(output),
                }
            }
        };
        let run = async { tokio::join!(self.engine.execute(&cell, sender), collect).0 };
        let outcome = tokio::time::timeout(self.limit, run).await;
        let failure = match outcome.unwrap_or_else(|_| panic!("the cell did not end: {code}")) {
            Outcome::Ok => None,
            Outcome::Failed(failure) => Some(failure),
        };
        Ran {
            failure,
            outputs,
            asked,
        }
    }

    /// Runs a cell that must succeed.
    pub async fn ok(&mut self, code: &str) -> Ran {
        let ran = self.run(code).await;
        if let Some(failure) = &ran.failure {
            panic!(
                "{code}\nfailed: {}\n{}",
                failure.evalue,
                failure.traceback.join("\n")
            );
        }
        ran
    }

    /// Runs an expression that must succeed; gives its value as text.
    pub async fn value(&mut self, code: &str) -> String {
        self.ok(code).await.value(code)
    }

    /// Runs a cell that must fail as `ename`.
    pub async fn fails(&mut self, ename: &str, code: &str) -> Failure {
        let ran = self.run(code).await;
        let failure = ran
            .failure
            .unwrap_or_else(|| panic!("{code}\nran, with {:?}", ran.outputs));
        assert_eq!(
            failure.ename,
            ename,
            "{}\n{}",
            failure.evalue,
            failure.traceback.join("\n")
        );
        failure
    }
}

impl Ran {
    pub fn value(&self, code: &str) -> String {
        self.data("text/plain")
            .unwrap_or_else(|| panic!("{code}\nshowed no value: {:?}", self.outputs))
    }

    /// The result in one representation.
    pub fn data(&self, mime: &str) -> Option<String> {
        self.outputs.iter().find_map(|output| match output {
            Output::Result { bundle } => bundle.data.get(mime)?.as_str().map(str::to_owned),
            _ => None,
        })
    }

    pub fn printed(&self, stream: StreamName) -> String {
        let texts = self.outputs.iter().filter_map(|output| match output {
            Output::Stream { name, text } if *name == stream => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    pub fn stdout(&self) -> String {
        self.printed(StreamName::Stdout)
    }
}

/// Text without ANSI colours.
pub fn plain(failure: &Failure) -> String {
    let text = failure.traceback.join("\n");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}
