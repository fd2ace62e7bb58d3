//! The way out of a cell for everything but printed text.

use std::io::Write;
use std::pin::Pin;
use std::sync::OnceLock;

use crate::bundle::MimeBundle;
use crate::failure::CellError;
use crate::interrupt::tick;
use crate::panics::Panic;
use crate::printed::flush_c;
use crate::stdin::{Answer, Question};
use crate::waits::patiently;

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

/// The kernel, when everything printed so far is on its way there.
pub(crate) fn kernel() -> Option<&'static dyn Kernel> {
    flush();
    connected_kernel()
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

/// Ends the running cell and leaves its thread as it stands: that never runs on, so nothing that it holds is used twice.
#[allow(unsafe_code)]
pub(crate) fn leave() -> ! {
    patiently(|| {
        if let Some(kernel) = connected_kernel() {
            kernel.leave();
        }
        loop {
            // SAFETY: it waits for a signal, and handlers end no cell.
            unsafe { libc::pause() };
        }
    })
}

fn connected() -> Result<&'static dyn Kernel, CellError> {
    connected_kernel().ok_or_else(|| "there is no kernel".into())
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

/// Puts everything printed so far on its way to the kernel.
pub fn flush() {
    // It fails only when the kernel is gone, and then nobody reads.
    let _ = std::io::stdout().flush();
    flush_c();
}
