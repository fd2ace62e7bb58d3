//! What every cell links: variable store, display, panic guard, interrupts, input. Knows no tensor and no wire format.

/// What a cell sees without `use`, if it names nothing of the prepared crates.
pub mod prelude {
    pub use crate::{
        Comm, CommKind, CommMessage, DisplayHandle, MimeBundle, ProgressBar, Rich, clear_output,
        display, display_mime, input, mime, on_comm_open, password, progress,
    };
}

mod bundle;
mod closures;
mod comm;
mod display;
mod failure;
mod interrupt;
pub mod mime;
mod output;
mod panics;
mod progress;
mod rounds;
mod scope;
mod show;
mod sleep;
mod stdin;
mod tasks;
mod terminal;

pub use bundle::MimeBundle;
pub use closures::signature;
pub use comm::{Comm, CommKind, CommMessage, on_comm_open, receive};
pub use display::{DisplayHandle, clear_output, display, display_mime};
pub use failure::CellError;
pub use interrupt::{clear_interrupt, interrupt, is_interrupted, tick};
pub use output::{Kernel, Output, connect};
pub use panics::{Panic, Place, Stopped, guard, install_hook};
pub use progress::{Progress, ProgressBar, progress};
pub use rounds::{Portions, Rounds, portions, rounds};
pub use scope::{Ended, Scope};
pub use show::{
    AsCommon, AsDebug, AsList, AsNothing, AsRich, Evcxr, Register, RegisterNothing, RegisterRich,
    Rich, Show, is_not_shown, register,
};
pub use stdin::{Answer, Question, input, password};
pub use tasks::enter;
