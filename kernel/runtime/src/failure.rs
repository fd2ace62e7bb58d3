//! The error of a cell: what `?` at top level converts into.

use std::error::Error;
use std::fmt;
use std::panic::Location;

use crate::place::Place;

/// Any error, also one that borrows from a variable and those that only convert into a boxed one, such as `String` or
/// `anyhow::Error`. Only its words are kept, for it ends with the cell.
///
/// It is no `Error` itself; otherwise the conversion below would overlap with `From<T> for T`.
#[derive(Debug)]
pub struct CellError {
    chain: Vec<String>,
    place: Place,
}

impl<'a, E: Into<Box<dyn Error + 'a>>> From<E> for CellError {
    // `?` passes its own place on.
    #[track_caller]
    fn from(error: E) -> Self {
        let place = Place::of(Location::caller());
        let error = error.into();
        let mut chain = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        Self { chain, place }
    }
}

impl CellError {
    /// Where the `?` stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The error and its causes, outermost first.
    pub fn chain(&self) -> Vec<String> {
        self.chain.clone()
    }
}

/// What `?` converts into in a cell with errors that are none to the compiler and only have `Debug`, such as the number
/// of a `Result<(), i32>`. It has no `Debug` itself, for the same reason as [`CellError`] is no `Error`.
pub struct DebugError(CellError);

impl<E: fmt::Debug> From<E> for DebugError {
    #[track_caller]
    fn from(error: E) -> Self {
        Self(CellError {
            chain: vec![format!("{error:?}")],
            place: Place::of(Location::caller()),
        })
    }
}

impl DebugError {
    /// The cell's error.
    pub fn into_cell_error(self) -> CellError {
        self.0
    }
}
