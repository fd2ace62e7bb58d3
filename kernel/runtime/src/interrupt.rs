//! Interrupts: a flag that user code looks at in every loop and function, and that ends sleeps early.

use std::panic::{Location, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::panics::Place;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What unwinds through an interrupted cell.
pub(crate) struct Interrupted(pub Place);

/// Asks the running cell to stop. Safe to call in a signal handler.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Forgets an interrupt; the worker does so before each cell.
pub fn clear_interrupt() {
    INTERRUPTED.store(false, Ordering::Relaxed);
}

/// Whether the running cell is to stop.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Unwinds if the cell is to stop. The generated source calls it at loop heads and at the start of functions; a call
/// into this optimized library is quicker there than what an unoptimized cell would make of an inlined load.
#[inline(never)]
#[track_caller]
pub fn tick() {
    if is_interrupted() {
        stop(Location::caller());
    }
}

/// The same for a place that was told before.
#[inline(never)]
pub(crate) fn tick_at(location: &Location<'_>) {
    if is_interrupted() {
        stop(location);
    }
}

/// Unwinds as an interrupted cell does.
pub fn unwind_interrupted() -> ! {
    resume_unwind(Box::new(Interrupted(Place::default())))
}

#[cold]
fn stop(location: &Location<'_>) {
    // A destructor that runs because of this very interrupt, or of a panic, runs to its end.
    if !std::thread::panicking() {
        resume_unwind(Box::new(Interrupted(Place::of(location))));
    }
}
