//! Showing values in the middle of a cell, and replacing what was shown.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};

use crate::boundary::Output;
use crate::bundle::MimeBundle;
use crate::output::send;
use crate::show::{Rich, render};

/// Shows a value in the middle of a cell. The handle replaces it later, also from other cells and threads.
///
/// ```ignore
/// let shown = display(&"begun");
/// shown.update(&"done");
/// ```
#[track_caller]
pub fn display<T: Debug + ?Sized>(value: &T) -> DisplayHandle {
    show(render(value, None))
}

/// Shows `data` as it is, such as `display_mime("text/html", "<b>bold</b>")`.
#[track_caller]
pub fn display_mime(mime: impl Into<String>, data: impl Into<String>) -> DisplayHandle {
    show(MimeBundle::default().with(mime, data.into()))
}

/// Clears the cell's output; with `wait`, not before the next output comes.
#[track_caller]
pub fn clear_output(wait: bool) {
    send(Output::ClearOutput { wait });
}

/// What was shown, in every place where a frontend shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayHandle {
    display_id: String,
}

impl DisplayHandle {
    /// Shows `value` instead.
    #[track_caller]
    pub fn update<T: Debug + ?Sized>(&self, value: &T) {
        self.send(render(value, None), true);
    }

    /// Shows `value` below; from then on, an update replaces it there too.
    #[track_caller]
    pub fn display<T: Debug + ?Sized>(&self, value: &T) {
        self.send(render(value, None), false);
    }

    #[track_caller]
    fn send(&self, bundle: MimeBundle, update: bool) {
        send(Output::Display {
            bundle,
            display_id: Some(self.display_id.clone()),
            update,
        });
    }
}

/// A cell that ends with `display(..)` shows nothing more.
impl Rich for DisplayHandle {
    fn rich(&self) -> MimeBundle {
        MimeBundle::default()
    }
}

#[track_caller]
fn show(bundle: MimeBundle) -> DisplayHandle {
    let handle = DisplayHandle {
        display_id: unique_id(),
    };
    handle.send(bundle, false);
    handle
}

/// Unlike those of all other workers: a notebook keeps what an earlier one showed.
pub fn unique_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(()))
}
