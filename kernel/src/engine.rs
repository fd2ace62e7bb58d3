//! The boundary between the protocol and evaluation: everything that knows a compiler sits behind [`Engine`].

use std::sync::Arc;

use async_trait::async_trait;
pub use carrel_protocol::analysis::Completion;
pub use carrel_protocol::{CommKind, CommMessage, MimeBundle};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// One cell to evaluate.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Execution count shown as `In [n]`; errors name it as `Cell [n]:line:col`.
    pub number: u32,
    pub code: String,
    /// Whether the frontend answers `input_request`.
    pub allow_stdin: bool,
    /// Of the messages with its outputs.
    pub parent: Parent,
}

/// A parent header, which evaluation only passes on.
pub type Parent = Arc<Value>;

/// An output that comes when its cell has ended, such as what a thread prints.
#[derive(Debug)]
pub struct Late {
    pub parent: Parent,
    pub output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamName {
    Stdout,
    Stderr,
}

/// What a running cell sends out, in order.
#[derive(Debug)]
pub enum Output {
    Stream {
        name: StreamName,
        text: String,
    },
    Display {
        bundle: MimeBundle,
        display_id: Option<String>,
        update: bool,
    },
    /// The value of the last expression.
    Result {
        bundle: MimeBundle,
    },
    ClearOutput {
        wait: bool,
    },
    /// The cell waits for a line from the person; dropping `reply` means that none comes.
    Input {
        prompt: String,
        password: bool,
        reply: oneshot::Sender<String>,
    },
    Comm(CommMessage),
}

/// How a cell ended. A failure of user code is a value, never an `Err`.
#[derive(Debug, Clone)]
pub enum Outcome {
    Ok,
    Failed(Failure),
}

/// The body of an `error` message.
#[derive(Debug, Clone)]
pub struct Failure {
    /// `panic`, `compile error`, `command error`, `dependency error`, `Error` (a `?` at top level), `Interrupted`, `worker died`.
    pub ename: String,
    pub evalue: String,
    /// Lines with ANSI colours.
    pub traceback: Vec<String>,
}

/// Evaluates cells, one at a time. Safe to share: `interrupt` is called while `execute` runs.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Starts what can start before the first cell; errors are kept and shown with the first cell.
    async fn warm_up(&self);

    /// Runs one cell to its end. All of its outputs were sent when this returns. A cell that prints faster than
    /// the frontend reads waits for it.
    async fn execute(&self, cell: &Cell, outputs: mpsc::Sender<Output>) -> Outcome;

    /// Release of the compiler that cells are compiled with, such as `1.95.0`, if that is known.
    async fn language_version(&self) -> Option<String> {
        None
    }

    /// What comes from threads and tasks that outlive their cell. Asked once; nothing if there is nothing to come.
    fn late(&self) -> Option<mpsc::Receiver<Late>> {
        None
    }

    /// Hands a frontend's message to whatever of the cells listens to its comm; callbacks run as a cell does. A comm
    /// to a target that no cell registered is closed. `parent` is of the messages with their outputs.
    async fn comm(
        &self,
        message: &CommMessage,
        _parent: Parent,
        outputs: mpsc::Sender<Output>,
    ) -> Outcome {
        if let CommKind::Open { .. } = message.kind {
            let close = CommMessage {
                kind: CommKind::Close,
                ..message.clone()
            };
            // Nobody listens if the frontend is gone.
            let _ = outputs.send(Output::Comm(close)).await;
        }
        Outcome::Ok
    }

    /// Evaluates one expression for `user_expressions`: a MIME bundle, or the failure.
    async fn evaluate(&self, expression: &str) -> Result<MimeBundle, Failure>;

    /// What could take the place of the word before a byte of a new cell's code, best first; nothing if that cannot
    /// be told in good time. Waits for no cell.
    async fn complete(&self, code: &str, offset: usize) -> Option<Vec<Completion>>;

    /// What stands at or before a byte of a new cell's code, with its source if `detail`. Waits for no cell.
    async fn inspect(&self, code: &str, offset: usize, detail: bool) -> Option<MimeBundle>;

    /// Asks the running cell to stop; returns at once.
    fn interrupt(&self);

    /// Ends the worker; nothing of it is left running.
    async fn shutdown(&self);
}
