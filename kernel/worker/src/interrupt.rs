//! Interrupts of cells. The kernel asks by its socket, in order with the cells, so that no other cell can be meant;
//! SIGINT is for the programs that the cell started.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use carrel_runtime::{has_ended, interrupt};
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, killpg, sigaction};
use nix::unistd::getpgrp;

/// A cell that waits in a system call is woken this often.
const SLICE: Duration = Duration::from_millis(20);
/// Wakes the cell's thread. Nobody uses it, and programs that do not know it pass it over.
const WAKE: Signal = Signal::SIGURG;

/// The thread that runs cells. It never ends, though it may be left waiting, and then another takes its place.
static CELLS: AtomicU64 = AtomicU64::new(0);

/// Makes signals harmless, and does what `asked` asks for on a thread of its own.
pub fn listen(asked: Receiver<u64>) -> io::Result<()> {
    // With a handler, and not passed over, for what cells start would take that over.
    handle(Signal::SIGINT, SaFlags::SA_RESTART)?;
    // It ends the system call that waits.
    handle(WAKE, SaFlags::empty())?;
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(move || heed(&asked))?;
    Ok(())
}

/// From here on this thread is the one that is woken.
pub fn wake_this_thread() {
    CELLS.store(pthread_self(), Ordering::Relaxed);
}

fn heed(asked: &Receiver<u64>) {
    let mut stopping = None;
    loop {
        let next = match stopping {
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(_) => asked.recv_timeout(SLICE),
        };
        match next {
            Ok(cell) => {
                interrupt(cell);
                // Only now: a cell whose program ends is to find that it is to stop. The group is the worker's own.
                let _ = killpg(getpgrp(), Signal::SIGINT);
                stopping = Some(cell);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        stopping = stopping.filter(|cell| !has_ended(*cell));
        if stopping.is_some() {
            // It waits for nothing if the signal comes while it computes.
            let _ = pthread_kill(CELLS.load(Ordering::Relaxed), WAKE);
        }
    }
}

fn handle(signal: Signal, flags: SaFlags) -> io::Result<()> {
    let action = SigAction::new(SigHandler::Handler(do_nothing), flags, SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

extern "C" fn do_nothing(_: c_int) {}
