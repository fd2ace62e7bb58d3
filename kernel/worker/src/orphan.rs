//! The end of a worker whose kernel is gone, by whatever way: it takes what cells started with it. What goes on by itself,
//! such as a job or the server of a model, has a process group of its own.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;

use nix::libc::{_exit, SIGKILL, getpid, kill};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Comes when the kernel ends. It can be caught, and whoever sends it for another reason means the same.
const ORPHANED: Signal = Signal::SIGTERM;

/// From here on the end of the kernel ends this process and its group.
pub fn end_with_kernel() -> io::Result<()> {
    let action = SigAction::new(
        SigHandler::Handler(on_signal),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: the handler makes system calls only, all of them async-signal-safe.
    unsafe { sigaction(ORPHANED, &action) }?;
    set_pdeathsig(ORPHANED)?;
    Ok(())
}

extern "C" fn on_signal(_: c_int) {
    end_all();
}

/// Ends this process and its group, if it is the first of that.
pub fn end_all() -> ! {
    // SAFETY: they take numbers and give numbers; nothing of this process runs on.
    unsafe {
        kill(-getpid(), SIGKILL);
        _exit(1)
    }
}
