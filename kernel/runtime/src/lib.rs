//! What every cell links: variable store, display, panic guard, interrupts, input. Knows no tensor and no wire
//! format, and has next to no dependencies: the compiler reads all of them for each cell.

/// What a cell sees without `use`, if it names nothing of the prepared crates.
pub mod prelude {
    pub use crate::{
        DisplayHandle, MimeBundle, ProgressBar, Rich, clear_output, display, display_mime, input,
        mime, password, progress,
    };
}

mod boundary;
mod bundle;
mod cell;
mod closures;
mod display;
mod failure;
mod interrupt;
pub mod mime;
mod output;
mod panics;
mod place;
mod printed;
mod progress;
mod real;
mod rounds;
mod scope;
mod show;
mod sleep;
mod stdin;
mod tasks;
mod terminal;
mod threads;
mod waits;

pub use boundary::{Answer, Kernel, Output, Question, Statements, connect, enter};
pub use bundle::{Data, MimeBundle};
pub use cell::{any_living, end_cell, has_ended, own_cell, run_cells};
pub use closures::signature;
pub use display::{DisplayHandle, clear_output, display, display_mime, unique_id};
pub use failure::{CellError, DebugError};
pub use interrupt::{begin_cell, interrupt, is_interrupted, tick, unwind_interrupted};
pub use output::{flush, in_order};
pub use panics::{Stopped, guard, install_hook};
pub use place::{Panic, Place};
pub use printed::print_lines;
pub use progress::{Progress, ProgressBar, progress};
pub use rounds::{Portions, Rounds, portions, rounds};
pub use scope::{Ended, Scope};
pub use show::{
    AsCommon, AsDebug, AsList, AsNothing, AsRich, Evcxr, Never, Register, RegisterNothing,
    RegisterRich, Returns, Rich, Show, is_not_shown, register, show_debug,
};
pub use stdin::{input, password};
pub use tasks::in_cell;
pub use threads::cells_lie_in;
pub use waits::patiently;
