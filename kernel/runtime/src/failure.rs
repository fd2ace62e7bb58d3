//! The error of a cell: what `?` at top level converts into.

use std::error::Error;
use std::fmt;
use std::panic::Location;

use crate::panics::Place;

/// Any error, also those that only convert into a boxed one, such as `String` or `anyhow::Error`.
/// It is no `Error` itself; otherwise the conversion below would overlap with `From<T> for T`.
pub struct CellError {
    error: Box<dyn Error>,
    place: Place,
}

impl<E: Into<Box<dyn Error>>> From<E> for CellError {
    // `?` passes its own place on.
    #[track_caller]
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            place: Place::of(Location::caller()),
        }
    }
}

impl CellError {
    /// Where the `?` stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The error and its causes, outermost first.
    pub fn chain(&self) -> Vec<String> {
        let mut chain = vec![self.error.to_string()];
        let mut cause = self.error.source();
        while let Some(error) = cause {
            chain.push(error.to_string());
            cause = error.source();
        }
        chain
    }
}

impl fmt::Debug for CellError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)
    }
}
