//! A request to the worker, from its start to its end: outputs, questions, and interrupts in between.

use std::time::Duration;

use carrel_protocol::{Ending, Output as Sent, Request};
use tokio::sync::watch;

use super::super::contents::Contents;
use super::super::failure;
use super::super::outputs::{Asked, answer, ask, print, send, show};
use super::super::worker::{Event, Worker, interrupt};
use super::{Interrupts, Outputs, Session};
use crate::engine::{Failure, StreamName};

/// How long an interrupted cell may take to stop by itself.
const GRACE: Duration = Duration::from_secs(2);

impl Session {
    /// How it ended, and the variables that live then. Ends the worker if the cell does not heed an interrupt.
    pub(super) async fn run_request(
        &mut self,
        request: &Request,
        outputs: &Outputs,
        interrupts: &mut watch::Receiver<Interrupts>,
    ) -> Result<(Ending, Vec<String>), Failure> {
        let group = self.worker.as_ref().and_then(Worker::group);
        let ended = {
            let running = self.run_to_end(request, outputs);
            tokio::pin!(running);
            tokio::select! {
                ended = &mut running => return ended,
                Ok(()) = interrupts.changed() => {}
            }
            interrupt(group);
            let grace = match interrupts.borrow().shutdown {
                true => Duration::ZERO,
                false => GRACE,
            };
            tokio::time::timeout(grace, running).await
        };
        match ended {
            Ok(ended) => ended,
            Err(_) => {
                self.lose_worker(outputs).await;
                let reason = "it was lost when a cell was interrupted";
                Err(failure::killed(&self.notebook.lost_all(reason)))
            }
        }
    }

    /// How it ended, and the variables that live now.
    async fn run_to_end(
        &mut self,
        request: &Request,
        outputs: &Outputs,
    ) -> Result<(Ending, Vec<String>), Failure> {
        let Some(worker) = &mut self.worker else {
            return Err(failure::tool("the worker is not there"));
        };
        // If the worker is gone, the next event says so.
        let _ = worker.send(request).await;
        let mut last_words = String::new();
        let mut contents = Contents::default();
        let mut asked: Option<Asked> = None;
        loop {
            let event = tokio::select! {
                event = worker.next() => Some(event),
                (question, line) = answer(&mut asked) => {
                    worker.answer(question, Some(line)).await;
                    continue;
                }
                () = wait(contents.patience()) => None,
            };
            if !matches!(event, Some(Event::Printed(..))) && contents.patience().is_some() {
                print(outputs, StreamName::Stdout, contents.give_up()).await;
            }
            let Some(event) = event else {
                continue;
            };
            match event {
                Event::Printed(StreamName::Stdout, text) => {
                    for piece in contents.add(&text) {
                        show(outputs, piece).await;
                    }
                }
                Event::Printed(StreamName::Stderr, text) => {
                    last_words = tail(last_words + &text);
                    print(outputs, StreamName::Stderr, text).await;
                }
                Event::Output(Sent::ThreadPanic(panic)) => {
                    let text = failure::thread_panic(&panic, &self.notebook.sources);
                    print(outputs, StreamName::Stderr, text).await;
                    worker.taken().await;
                }
                Event::Output(output) => {
                    if let Sent::Comm(message) = &output {
                        self.comms.note(message);
                    }
                    send(outputs, output).await;
                    worker.taken().await;
                }
                Event::Question {
                    question,
                    prompt,
                    password,
                } => match self.allow_stdin {
                    true => asked = Some(ask(outputs, question, prompt, password).await),
                    false => worker.answer(question, None).await,
                },
                Event::Ended { ending, variables } => {
                    // A thread that asked learns that its cell is over.
                    if let Some((question, _)) = asked {
                        worker.answer(question, None).await;
                    }
                    return Ok((ending, variables));
                }
                Event::Died(status) => {
                    self.lose_worker(outputs).await;
                    let lost = self.notebook.lost_all("it was lost when the worker died");
                    return Err(failure::died(status, &last_words, &lost));
                }
            }
        }
    }
}

/// As much of a text as a dying process needs to say why, with a backtrace.
fn tail(text: String) -> String {
    let start = text.len().saturating_sub(64 * 1024);
    let start = (start..=text.len()).find(|at| text.is_char_boundary(*at));
    start.map_or_else(String::new, |start| text[start..].to_owned())
}

async fn wait(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
