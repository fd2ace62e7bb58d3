//! The kernel as cells reach it.

use std::pin::Pin;
use std::sync::OnceLock;

use crate::bundle::MimeBundle;
use crate::failure::CellError;
use crate::place::Panic;

/// What a cell sends besides stdout and stderr.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    Display {
        bundle: MimeBundle,
        /// By which it can be updated.
        display_id: Option<String>,
        /// Replaces what was shown under `display_id` before.
        update: bool,
    },
    /// The value of the last expression.
    Result(MimeBundle),
    ClearOutput {
        wait: bool,
    },
    /// A thread that is not the cell's own panicked.
    ThreadPanic(Panic),
}

/// The kernel as cells reach it; the worker provides it.
pub trait Kernel: Send + Sync {
    /// Returns when the kernel has taken the output, so that text printed later also appears later.
    fn send(&self, output: Output);

    /// Shows what a thread printed whose cell has ended; `error` is for stderr.
    fn print(&self, cell: u64, error: bool, text: &str);

    /// The cell on this thread waits for ever, as far as anybody can tell; others go on on another thread.
    fn leave(&self);

    /// Asks the person for a line, and waits for it or for an interrupt. One question at a time.
    fn ask(&self, question: &Question) -> Answer;

    /// Lets the cell's thread spawn tasks and make timers and sockets, in this and all later cells.
    fn enter(&self) -> Result<(), CellError>;

    /// Runs the statements of a cell that waits; unwinds if an interrupt comes while it does.
    fn wait(&self, statements: Statements<'_>) -> Result<(), CellError>;
}

/// What a cell that waits for futures does.
pub type Statements<'a> = Pin<&'a mut dyn Future<Output = Result<(), CellError>>>;

static KERNEL: OnceLock<&'static dyn Kernel> = OnceLock::new();

/// The worker does so once, before the first cell.
pub fn connect(kernel: &'static dyn Kernel) {
    // A second one is ignored: outputs have one way out.
    let _ = KERNEL.set(kernel);
}

/// What the frontend asks the person.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// Shown after the unfinished line that the cell printed last.
    pub prompt: String,
    /// What is typed is not shown.
    pub password: bool,
}

/// What came of a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Without its end of line.
    Line(String),
    /// The frontend takes no questions, or the cell that asked has ended.
    Refused,
    Interrupted,
}

/// Lets the cell's thread spawn tasks and make timers and sockets, in this and all later cells.
pub fn enter() -> Result<(), CellError> {
    connected()?.enter()
}

pub(crate) fn wait(statements: Statements<'_>) -> Result<(), CellError> {
    connected()?.wait(statements)
}

pub(crate) fn connected_kernel() -> Option<&'static dyn Kernel> {
    KERNEL.get().copied()
}

fn connected() -> Result<&'static dyn Kernel, CellError> {
    connected_kernel().ok_or_else(|| "there is no kernel".into())
}
