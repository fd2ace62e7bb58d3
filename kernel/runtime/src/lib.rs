//! What every cell links: variable store, display, panic guard. Knows no tensor and no wire format.

mod display;
mod failure;
mod output;
mod panics;
mod scope;

pub use display::{
    AsDebug, AsNothing, AsRich, Rich, Show, clear_output, display, display_mime, register,
};
pub use failure::CellError;
pub use output::{MimeBundle, Output, set_sink};
pub use panics::{Panic, Place, guard, install_hook};
pub use scope::{Ended, Scope};
