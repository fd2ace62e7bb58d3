//! The way out of a cell for everything but printed text.

use std::io::Write;
use std::pin::Pin;
use std::sync::OnceLock;

use crate::bundle::MimeBundle;
use crate::failure::CellError;
use crate::interrupt::tick;
use crate::panics::Panic;
use crate::stdin::{Answer, Question};

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

/// The kernel, when everything printed so far is on its way there.
pub(crate) fn kernel() -> Option<&'static dyn Kernel> {
    flush();
    KERNEL.get().copied()
}

/// Lets the cell's thread spawn tasks and make timers and sockets, in this and all later cells.
pub fn enter() -> Result<(), CellError> {
    connected()?.enter()
}

pub(crate) fn wait(statements: Statements<'_>) -> Result<(), CellError> {
    connected()?.wait(statements)
}

fn connected() -> Result<&'static dyn Kernel, CellError> {
    KERNEL
        .get()
        .copied()
        .ok_or_else(|| "there is no kernel".into())
}

/// Sends `output` after all that was printed before it.
#[track_caller]
pub(crate) fn send(output: Output) {
    in_order(|| {
        if let Some(kernel) = KERNEL.get() {
            kernel.send(output);
        }
    });
}

/// Calls `send` when everything printed so far is on its way to the kernel.
#[track_caller]
pub fn in_order(send: impl FnOnce()) {
    flush();
    send();
    // Library code that shows its progress can be interrupted here.
    tick();
}

fn flush() {
    // It fails only when the kernel is gone, and then nobody reads.
    let _ = std::io::stdout().flush();
}
