//! The tokio runtime of cells that wait. It is made when the first one needs it and never ended, so that tasks live on
//! between cells.

use std::cell::Cell;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use carrel_runtime::{CellError, Statements, is_interrupted, unwind_interrupted};
use tokio::runtime::{Builder, Runtime};
use tokio::time::MissedTickBehavior;

/// A cell that waits looks for an interrupt this often.
const SLICE: Duration = Duration::from_millis(20);

thread_local! {
    /// One thread runs cells, until another takes its place.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// Lets the cell's thread spawn tasks and make timers and sockets, in this and all later cells.
pub fn enter() -> Result<(), CellError> {
    let runtime = runtime()?;
    if !ENTERED.replace(true) {
        // The thread stays inside.
        std::mem::forget(runtime.enter());
    }
    Ok(())
}

/// Runs the statements of a cell that waits; unwinds if an interrupt comes while it does.
pub fn wait(statements: Statements<'_>) -> Result<(), CellError> {
    enter()?;
    let ended = runtime()?.block_on(async {
        tokio::select! {
            biased;
            ended = statements => Some(ended),
            () = interrupted() => None,
        }
    });
    // What the statements hold is dropped, and what they borrow is kept, as after any interrupt.
    ended.unwrap_or_else(|| unwind_interrupted())
}

async fn interrupted() {
    let mut slices = tokio::time::interval(SLICE);
    slices.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !is_interrupted() {
        slices.tick().await;
    }
}

fn runtime() -> io::Result<&'static Runtime> {
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = Builder::new_multi_thread().enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| made))
}
