//! Panics and interrupts of user code as values.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::boundary::Output;
use crate::cell::runs_cells;
use crate::interrupt::{Interrupted, is_interrupted};
use crate::output::send;
use crate::place::{Panic, Place};

/// Why a body did not come to its end.
#[derive(Debug)]
pub enum Stopped {
    Panicked(Panic),
    Interrupted(Place),
}

static LAST: Mutex<Option<Panic>> = Mutex::new(None);
/// Where the hook of ours that was installed last keeps what it knows; by that it is told from others.
static OURS: AtomicPtr<()> = AtomicPtr::new(null_mut());

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

/// Keeps the panics of cells for [`guard`] and sends those of other threads as they happen. A hook that the person or a
/// library set meanwhile is called too, and tells the panics of other threads. The worker calls it before each cell,
/// the generated source after statements that set or take a hook.
pub fn install_hook() {
    let current = take_hook();
    if std::ptr::from_ref(&*current).cast::<()>() == OURS.load(Ordering::Relaxed) {
        return set_hook(current);
    }
    // Now `std`'s own is there, which every time is the same function.
    #[allow(ambiguous_wide_pointer_comparisons)]
    let is_default = std::ptr::eq(&*current, &*take_hook());
    let hook: Hook = hook((!is_default).then_some(current));
    OURS.store(
        std::ptr::from_ref(&*hook).cast::<()>().cast_mut(),
        Ordering::Relaxed,
    );
    set_hook(hook);
}

fn hook(theirs: Option<Hook>) -> Hook {
    Box::new(move |info| {
        let panic = Panic {
            message: message(info.payload()),
            place: info.location().map(Place::of).unwrap_or_default(),
        };
        match (runs_cells(), &theirs) {
            (true, _) => *last() = Some(panic),
            (false, None) => send(Output::ThreadPanic(panic)),
            (false, Some(_)) => {}
        }
        if let Some(theirs) = &theirs {
            theirs(info);
        }
    })
}

/// Runs `body`; a panic or an interrupt in it becomes the error.
pub fn guard<R>(body: impl FnOnce() -> R) -> Result<R, Stopped> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let last = last().take();
        if let Some(Interrupted(place)) = payload.downcast_ref() {
            return Stopped::Interrupted(place.clone());
        }
        // `resume_unwind` calls no hook, so the last one that was told may be another panic, which was caught.
        let message = message(payload.as_ref());
        let panic = last.filter(|last| last.message == message);
        let panic = panic.unwrap_or_else(|| Panic {
            message,
            place: Place::default(),
        });
        // Such as `unwrap` on the result of a thread that was interrupted.
        match is_interrupted() {
            true => Stopped::Interrupted(panic.place),
            false => Stopped::Panicked(panic),
        }
    })
}

fn last() -> MutexGuard<'static, Option<Panic>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In the text of an assertion; the generated source puts it into loops.
const TICK: &str = "::carrel_runtime::tick();";

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        as_written(text)
    } else if let Some(text) = payload.downcast_ref::<String>() {
        as_written(text)
    } else {
        "a value that is no text (std::panic::panic_any)".to_owned()
    }
}

fn as_written(text: &str) -> String {
    match text.contains(TICK) {
        true => text.replace(&format!("{TICK} "), "").replace(TICK, ""),
        false => text.to_owned(),
    }
}
