//! What every cell links: variable store, display, panic guard, interrupts. Knows no tensor and no wire format.

mod closures;
mod display;
mod failure;
mod interrupt;
mod output;
mod panics;
mod rounds;
mod scope;
mod sleep;
mod tasks;

pub use closures::signature;
pub use display::{
    AsDebug, AsNothing, AsRich, Evcxr, Rich, Show, clear_output, display, display_mime,
    is_not_shown, register,
};
pub use failure::CellError;
pub use interrupt::{clear_interrupt, interrupt, tick};
pub use output::{MimeBundle, Output, set_sink};
pub use panics::{Panic, Place, Stopped, guard, install_hook};
pub use rounds::{Portions, Rounds, portions, rounds};
pub use scope::{Ended, Scope};
pub use tasks::enter;
