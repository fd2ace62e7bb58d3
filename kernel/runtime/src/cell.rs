//! Which cell a thread works for: what it prints is that cell's output, and only that cell's interrupt stops it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(0) };
    static RUNS_CELLS: Cell<bool> = const { Cell::new(false) };
}

static RUNNING: AtomicU64 = AtomicU64::new(0);
/// The last cell that has ended.
static ENDED: AtomicU64 = AtomicU64::new(0);
/// Threads and tasks of cells that did not end yet.
static LIVING: AtomicUsize = AtomicUsize::new(0);

/// This thread runs cells from here on.
pub fn run_cells() {
    RUNS_CELLS.set(true);
}

pub(crate) fn runs_cells() -> bool {
    RUNS_CELLS.get()
}

/// A cell begins on this thread.
pub(crate) fn begin(cell: u64) {
    OWN.set(cell);
    RUNNING.store(cell, Ordering::Relaxed);
}

/// The running cell has ended; threads and tasks that it started may live on.
pub fn end_cell() {
    // What this thread waits for until the next cell has nothing to do with this one.
    OWN.set(0);
    ENDED.store(RUNNING.swap(0, Ordering::Relaxed), Ordering::Relaxed);
}

/// Whether a cell has ended, and not just not begun.
pub fn has_ended(cell: u64) -> bool {
    ENDED.load(Ordering::Relaxed) >= cell
}

/// The cell that runs; 0 between cells.
pub(crate) fn running_cell() -> u64 {
    RUNNING.load(Ordering::Relaxed)
}

/// The cell that this thread works for; 0 for a thread of a pool, which works for whichever cell runs.
pub fn own_cell() -> u64 {
    OWN.get()
}

/// The cell of a thread that outlived it.
pub(crate) fn background_cell() -> Option<u64> {
    let own = OWN.get();
    (own != 0 && own != running_cell()).then_some(own)
}

/// Works for a cell until the value is dropped.
pub(crate) struct Working(u64);

impl Working {
    pub(crate) fn on(cell: u64) -> Self {
        Self(OWN.replace(cell))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        OWN.set(self.0);
    }
}

/// Counts a thread or task of a cell as living.
pub(crate) fn born() {
    LIVING.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn gone() {
    LIVING.fetch_sub(1, Ordering::Relaxed);
}

/// Whether threads or tasks of cells may print although no cell runs.
pub fn any_living() -> bool {
    LIVING.load(Ordering::Relaxed) > 0
}
