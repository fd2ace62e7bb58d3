//! Panics and interrupts of user code as values.

use std::any::Any;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};

use crate::interrupt::{Interrupted, is_interrupted};
use crate::output::{Output, send};

/// A panic and where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    pub message: String,
    pub place: Place,
}

/// Why a body did not come to its end.
#[derive(Debug)]
pub enum Stopped {
    Panicked(Panic),
    Interrupted(Place),
}

/// A place in the generated source, which the kernel maps back to the cell; line and column from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub(crate) fn of(location: &Location<'_>) -> Self {
        Self {
            file: location.file().to_owned(),
            line: location.line(),
            column: location.column(),
        }
    }
}

static CELL_THREAD: OnceLock<ThreadId> = OnceLock::new();
static LAST: Mutex<Option<Panic>> = Mutex::new(None);

/// Keeps the panics of this thread for [`guard`] and sends those of other threads as they happen.
pub fn install_hook() {
    CELL_THREAD.get_or_init(|| thread::current().id());
    std::panic::set_hook(Box::new(|info| {
        let panic = Panic {
            message: message(info.payload()),
            place: info.location().map(Place::of).unwrap_or_default(),
        };
        if CELL_THREAD.get() == Some(&thread::current().id()) {
            *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        } else {
            send(Output::ThreadPanic(panic));
        }
    }));
}

/// Runs `body`; a panic or an interrupt in it becomes the error.
pub fn guard<R>(body: impl FnOnce() -> R) -> Result<R, Stopped> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let last = LAST.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Interrupted(place)) = payload.downcast_ref() {
            return Stopped::Interrupted(place.clone());
        }
        // `resume_unwind` calls no hook.
        let panic = last.unwrap_or_else(|| Panic {
            message: message(payload.as_ref()),
            place: Place::default(),
        });
        // Such as `unwrap` on the result of a thread that was interrupted.
        match is_interrupted() {
            true => Stopped::Interrupted(panic.place),
            false => Stopped::Panicked(panic),
        }
    })
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is no text (std::panic::panic_any)".to_owned()
    }
}
