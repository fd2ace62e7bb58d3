//! The way out of a cell for everything but printed text.

use std::io::Write;

use crate::boundary::{Kernel, Output, connected_kernel};
use crate::interrupt::tick;
use crate::printed::flush_c;

/// The kernel, when everything printed so far is on its way there.
pub(crate) fn kernel() -> Option<&'static dyn Kernel> {
    flush();
    connected_kernel()
}

/// Sends `output` after all that was printed before it.
#[track_caller]
pub(crate) fn send(output: Output) {
    in_order(|| {
        if let Some(kernel) = connected_kernel() {
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
