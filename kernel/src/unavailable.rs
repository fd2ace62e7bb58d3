//! The engine that stands in when the real one cannot start: its reason is the first cell's error.

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::engine::{Cell, Engine, Failure, MimeBundle, Outcome, Output};

/// Answers every cell with the reason why cells cannot run, so that the person reads it in the notebook.
pub struct UnavailableEngine {
    pub reason: String,
}

impl UnavailableEngine {
    fn failure(&self) -> Failure {
        let title = "kernel not ready".to_owned();
        Failure {
            traceback: vec![format!("\u{1b}[31m{title}\u{1b}[0m: {}", self.reason)],
            ename: title,
            evalue: self.reason.clone(),
        }
    }
}

#[async_trait]
impl Engine for UnavailableEngine {
    async fn warm_up(&self) {}

    async fn execute(&self, _cell: &Cell, _outputs: mpsc::UnboundedSender<Output>) -> Outcome {
        Outcome::Failed(self.failure())
    }

    async fn evaluate(&self, _expression: &str) -> Result<MimeBundle, Failure> {
        Err(self.failure())
    }

    fn interrupt(&self) {}

    async fn shutdown(&self) {}
}
