//! Evaluation of Rust: each cell is compiled on its own and loaded into a worker process that holds the variables.

mod attempt;
mod commands;
mod compile;
mod diagnostics;
mod failure;
mod generate;
mod items;
mod merge;
mod notebook;
mod parse;
pub(crate) mod prelude;
pub mod prepare;
mod repair;
mod session;
mod source;
mod types;
mod worker;

use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, watch};

use self::session::{Interrupts, Session};
use crate::engine::{Cell, Engine, Failure, MimeBundle, Outcome, Output};

/// The engine; its parts start with [`Engine::warm_up`] or with the first cell.
#[derive(Debug)]
pub struct RustEngine {
    session: Mutex<Session>,
    /// A cell heeds those that come while it is compiled or runs.
    interrupts: watch::Sender<Interrupts>,
}

impl Default for RustEngine {
    fn default() -> Self {
        Self {
            session: Mutex::new(Session::default()),
            interrupts: watch::Sender::default(),
        }
    }
}

#[async_trait]
impl Engine for RustEngine {
    async fn warm_up(&self) {
        let mut session = self.session.lock().await;
        if let Err(failure) = session.warm_up().await {
            // The first cell tries again, and shows what is still wrong.
            tracing::warn!("Cells cannot run: {}", failure.evalue);
        }
    }

    async fn execute(&self, cell: &Cell, outputs: mpsc::Sender<Output>) -> Outcome {
        let title = format!("Cell [{}]", cell.number);
        match self.run(&title, &cell.code, &outputs).await {
            Ok(()) => Outcome::Ok,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn evaluate(&self, expression: &str) -> Result<MimeBundle, Failure> {
        let (sender, mut outputs) = mpsc::channel(1);
        let run = async {
            let sender = sender;
            self.run("expression", expression, &sender).await
        };
        let result = async {
            let mut result = MimeBundle::default();
            while let Some(output) = outputs.recv().await {
                if let Output::Result { bundle } = output {
                    result = bundle;
                }
            }
            result
        };
        let (ended, result) = tokio::join!(run, result);
        ended.map(|()| result)
    }

    fn interrupt(&self) {
        self.interrupts
            .send_modify(|interrupts| interrupts.count += 1);
    }

    async fn shutdown(&self) {
        self.interrupts
            .send_modify(|interrupts| interrupts.shutdown = true);
        self.session.lock().await.end().await;
    }
}

impl RustEngine {
    async fn run(
        &self,
        title: &str,
        code: &str,
        outputs: &mpsc::Sender<Output>,
    ) -> Result<(), Failure> {
        let mut interrupts = self.interrupts.subscribe();
        let mut session = self.session.lock().await;
        let cell = tokio::select! {
            compiled = session.compile(title, code, outputs) => compiled?,
            Ok(()) = interrupts.changed() => return Err(failure::not_begun()),
        };
        let Some(cell) = cell else {
            return Ok(());
        };
        let begun = Instant::now();
        let ended = session.run(cell, outputs, &mut interrupts).await;
        session.tell_time("ran", begun, outputs).await;
        ended
    }
}
