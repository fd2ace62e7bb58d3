//! Interrupts: the number of a cell that is to stop. User code looks at it in every loop and function; sleeps and waits
//! end early by it. Threads and tasks of other cells go on.

use std::panic::{Location, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::cell::{self, own_cell, running_cell};
use crate::place::Place;

/// 0 when none is to stop.
static STOPPING: AtomicU64 = AtomicU64::new(0);
/// It was asked more than once.
static URGED: AtomicBool = AtomicBool::new(false);

/// What unwinds through an interrupted cell.
pub(crate) struct Interrupted(pub Place);

/// Asks a cell, and what it started, to stop. Asked again, it no longer waits for anything.
pub fn interrupt(cell: u64) {
    let before = STOPPING.swap(cell, Ordering::Relaxed);
    URGED.store(before == cell, Ordering::Relaxed);
}

/// A cell begins on this thread; numbers count up from 1. Interrupts of earlier cells are over, and its own may have
/// come already.
pub fn begin_cell(cell: u64) {
    cell::begin(cell);
    let stopping = STOPPING.load(Ordering::Relaxed);
    if stopping != 0 && stopping < cell {
        // If it fails, another one came, and stays.
        let _ = STOPPING.compare_exchange(stopping, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether the cell that this thread works for is to stop.
pub fn is_interrupted() -> bool {
    match STOPPING.load(Ordering::Relaxed) {
        0 => false,
        cell => is_of(cell),
    }
}

pub(crate) fn is_urged() -> bool {
    URGED.load(Ordering::Relaxed)
}

#[cold]
fn is_of(cell: u64) -> bool {
    match own_cell() {
        // A pool works for whichever cell runs.
        0 => running_cell() == cell,
        own => own == cell,
    }
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
