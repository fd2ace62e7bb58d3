//! A request to the worker, from its start to its end: outputs, questions, and interrupts in between.

use std::time::Duration;

use carrel_cell::diagnostics::Sources;
use carrel_protocol::{Ending, Output as Sent, Request};
use tokio::sync::watch;

use super::{Interrupts, Outputs, Session};
use crate::engine::{Failure, StreamName};
use crate::rust_engine::notebook::failure;
use crate::rust_engine::worker::Event;
use crate::rust_engine::worker::contents::Contents;
use crate::rust_engine::worker::late::LateOutputs;
use crate::rust_engine::worker::outputs::{Asked, answer, ask, output, print, show};

/// How long an interrupted cell may take to stop by itself before the person is told what can be done.
const GRACE: Duration = Duration::from_secs(2);
/// How long it may take to stop waiting when it was asked twice.
const LAST_GRACE: Duration = Duration::from_millis(500);
const STILL: &str = "The cell is still in native code; interrupt again to end the worker, which loses all variables.\n";

impl Session {
    /// How it ended, and the variables that live then. A first interrupt asks the cell to stop, and a second ends the
    /// worker if the cell still runs.
    pub(super) async fn run_request(
        &mut self,
        cell: u64,
        request: &Request,
        outputs: &Outputs,
        interrupts: &mut watch::Receiver<Interrupts>,
    ) -> Result<(Ending, Vec<String>), Failure> {
        let Some(worker) = &self.worker else {
            return Err(failure::tool("the worker is not there"));
        };
        let orders = worker.orders();
        {
            let running = self.run_to_end(cell, request, outputs);
            tokio::pin!(running);
            tokio::select! {
                ended = &mut running => return ended,
                Ok(()) = interrupts.changed() => {}
            }
            if !interrupts.borrow_and_update().shutdown {
                orders.interrupt(cell).await;
                tokio::select! {
                    ended = &mut running => return ended,
                    () = asked_again(outputs, interrupts) => {}
                }
            }
            if !interrupts.borrow().shutdown {
                orders.interrupt(cell).await;
                if let Ok(ended) = tokio::time::timeout(LAST_GRACE, &mut running).await {
                    return ended;
                }
            }
        }
        self.lose_worker(outputs).await;
        let reason = "it was lost when a cell was interrupted";
        Err(failure::killed(&self.notebook.lost_all(reason)))
    }

    /// How it ended, and the variables that live now.
    async fn run_to_end(
        &mut self,
        cell: u64,
        request: &Request,
        outputs: &Outputs,
    ) -> Result<(Ending, Vec<String>), Failure> {
        let Some(worker) = &mut self.worker else {
            return Err(failure::tool("the worker is not there"));
        };
        let orders = worker.orders();
        orders.run(cell, request).await;
        let mut last_words = String::new();
        let mut contents = Contents::default();
        let mut asked: Option<Asked> = None;
        loop {
            let event = tokio::select! {
                event = worker.next() => Some(event),
                (question, line) = answer(&mut asked) => {
                    orders.answer(question, Some(line)).await;
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
                Event::Output { cell, output } => {
                    publish(&self.notebook.sources, &self.late, cell, output, outputs).await;
                    orders.taken().await;
                }
                Event::Question {
                    question,
                    prompt,
                    password,
                } => match self.allow_stdin {
                    true => asked = Some(ask(outputs, question, prompt, password).await),
                    false => orders.answer(question, None).await,
                },
                Event::Ended { ending, variables } => {
                    // A thread that asked learns that its cell is over.
                    if let Some((question, _)) = asked {
                        orders.answer(question, None).await;
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

/// `cell` is 0 for the one that runs.
async fn publish(sources: &Sources, late: &LateOutputs, cell: u64, sent: Sent, outputs: &Outputs) {
    match (cell, sent) {
        (cell, Sent::ThreadPanic(panic)) => {
            let text = failure::thread_panic(&panic, sources);
            match cell {
                0 => print(outputs, StreamName::Stderr, text).await,
                _ => late.print(cell, StreamName::Stderr, text).await,
            }
        }
        (0, sent) => {
            if let Sent::Comm(message) = &sent {
                late.comms.note(message);
            }
            if let Some(output) = output(sent) {
                // Nobody listens to the warm-up.
                let _ = outputs.send(output).await;
            }
        }
        (cell, sent) => late.output(cell, sent).await,
    }
}

/// Returns when the person has interrupted twice, or the kernel shuts down; takes note of the first time.
pub(super) async fn insisted(
    outputs: &Outputs,
    interrupts: &mut watch::Receiver<Interrupts>,
    interrupted: &mut bool,
) {
    // An error means that the kernel ends.
    let changed = interrupts.changed().await;
    *interrupted = true;
    if changed.is_ok() && !interrupts.borrow_and_update().shutdown {
        asked_again(outputs, interrupts).await;
    }
}

/// Returns when the person interrupts a second time, or the kernel shuts down. Soon after the first time that is taken
/// for the same wish: the cell has its time to stop.
async fn asked_again(outputs: &Outputs, interrupts: &mut watch::Receiver<Interrupts>) {
    let grace = tokio::time::sleep(GRACE);
    tokio::pin!(grace);
    let mut again = false;
    loop {
        tokio::select! {
            () = &mut grace => break,
            changed = interrupts.changed() => {
                again = true;
                if changed.is_err() || interrupts.borrow_and_update().shutdown {
                    return;
                }
            }
        }
    }
    if !again {
        print(outputs, StreamName::Stderr, STILL.to_owned()).await;
        // An error means that the kernel ends.
        let _ = interrupts.changed().await;
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
