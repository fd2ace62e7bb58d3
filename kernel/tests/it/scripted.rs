//! `ScriptedEngine`: does what the words of a cell say, so that tests of the wire need no compiler.

use std::time::Duration;

use async_trait::async_trait;
use carrel_kernel::engine::{
    Cell, CommKind, CommMessage, Completion, Engine, Failure, MimeBundle, Outcome, Output, Parent,
    StreamName,
};
use serde_json::json;
use tokio::sync::{Notify, mpsc, oneshot};

/// Cells: `print N`, `large MEGABYTES`, `value TEXT`, `display`, `input PROMPT` (after an unfinished line), `comm`,
/// `wait`, `slow fail`, `fail`.
#[derive(Default)]
pub struct ScriptedEngine {
    interrupted: Notify,
}

#[async_trait]
impl Engine for ScriptedEngine {
    async fn warm_up(&self) {}

    async fn language_version(&self) -> Option<String> {
        Some("1.2.3".to_owned())
    }

    async fn execute(&self, cell: &Cell, outputs: mpsc::Sender<Output>) -> Outcome {
        let (verb, rest) = cell.code.split_once(' ').unwrap_or((&cell.code, ""));
        match verb {
            "print" => {
                for line in 0..rest.parse().unwrap() {
                    outputs.send(print(format!("line {line}\n"))).await.unwrap();
                }
            }
            "large" => {
                let text = "x".repeat(rest.parse::<usize>().unwrap() << 20);
                outputs
                    .send(Output::Display {
                        bundle: plain(&text),
                        display_id: None,
                        update: false,
                    })
                    .await
                    .unwrap();
            }
            "value" => outputs
                .send(Output::Result {
                    bundle: plain(rest),
                })
                .await
                .unwrap(),
            "display" => {
                let display_id = Some("d1".to_owned());
                let bundle = plain("shown");
                outputs
                    .send(Output::Display {
                        bundle,
                        display_id,
                        update: false,
                    })
                    .await
                    .unwrap();
                outputs
                    .send(Output::ClearOutput { wait: true })
                    .await
                    .unwrap();
            }
            "input" => return self.input(rest, &outputs).await,
            "comm" => outputs.send(comm()).await.unwrap(),
            "wait" => {
                outputs.send(print("waiting\n".to_owned())).await.unwrap();
                self.interrupted.notified().await;
                return failed("Interrupted");
            }
            // Slow enough that the requests sent right behind it are there when it fails.
            "slow" => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                return failed("panic");
            }
            _ => return failed("panic"),
        }
        Outcome::Ok
    }

    /// Knows the target `echo`, which sends back what it gets, and fails at `null`.
    async fn comm(
        &self,
        message: &CommMessage,
        _parent: Parent,
        outputs: mpsc::Sender<Output>,
    ) -> Outcome {
        let mut answer = message.clone();
        match &message.kind {
            CommKind::Open { target_name } if target_name == "echo" => return Outcome::Ok,
            CommKind::Open { .. } => answer.kind = CommKind::Close,
            CommKind::Message if message.data.is_null() => return failed("panic"),
            _ => {}
        }
        outputs.send(Output::Comm(answer)).await.unwrap();
        Outcome::Ok
    }

    async fn evaluate(&self, expression: &str) -> Result<MimeBundle, Failure> {
        if expression == "bad" {
            Err(failure("compile error"))
        } else {
            Ok(plain(expression))
        }
    }

    async fn complete(&self, code: &str, offset: usize) -> Option<Vec<Completion>> {
        (&code[..offset] == "known.").then(|| {
            vec![Completion {
                text: "method".to_owned(),
                kind: "method".to_owned(),
                signature: Some("fn()".to_owned()),
            }]
        })
    }

    /// `wait` is answered at the next interrupt.
    async fn inspect(&self, code: &str, offset: usize, detail: bool) -> Option<MimeBundle> {
        if code == "wait" {
            self.interrupted.notified().await;
        }
        let text = format!("{} {detail}", &code[..offset]);
        code.starts_with("known").then(|| plain(&text))
    }

    fn interrupt(&self) {
        self.interrupted.notify_one();
    }

    async fn shutdown(&self) {
        self.interrupted.notify_one();
    }
}

impl ScriptedEngine {
    async fn input(&self, prompt: &str, outputs: &mpsc::Sender<Output>) -> Outcome {
        let (reply, line) = oneshot::channel();
        outputs
            .send(print("asking\nDear ".to_owned()))
            .await
            .unwrap();
        outputs
            .send(Output::Input {
                prompt: prompt.to_owned(),
                password: false,
                reply,
            })
            .await
            .unwrap();
        match line.await {
            Ok(line) => {
                outputs.send(print(format!("got {line}\n"))).await.unwrap();
                Outcome::Ok
            }
            Err(_) => failed("no input"),
        }
    }
}

fn print(text: String) -> Output {
    Output::Stream {
        name: StreamName::Stdout,
        text,
    }
}

fn plain(text: &str) -> MimeBundle {
    let data = json!({ "text/plain": text }).as_object().cloned().unwrap();
    MimeBundle {
        data,
        ..MimeBundle::default()
    }
}

fn comm() -> Output {
    Output::Comm(CommMessage {
        comm_id: "c1".to_owned(),
        kind: CommKind::Open {
            target_name: "plot".to_owned(),
        },
        data: json!({ "n": 1 }),
        metadata: json!({}),
        buffers: vec![b"\x00\xff".to_vec(), b"second".to_vec()],
    })
}

fn failed(ename: &str) -> Outcome {
    Outcome::Failed(failure(ename))
}

fn failure(ename: &str) -> Failure {
    Failure {
        ename: ename.to_owned(),
        evalue: "as scripted".to_owned(),
        traceback: vec!["Cell [1]:1:1".to_owned()],
    }
}
