//! SIGINT, with which the kernel interrupts a cell.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Has SIGINT ask the running cell to stop.
pub fn listen() -> io::Result<()> {
    // The cell looks for itself whether it is to stop; its system calls go on.
    let action = SigAction::new(
        SigHandler::Handler(on_interrupt),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: all that the handler does is store to an atomic.
    unsafe { sigaction(Signal::SIGINT, &action) }?;
    Ok(())
}

extern "C" fn on_interrupt(_: c_int) {
    carrel_runtime::interrupt();
}
