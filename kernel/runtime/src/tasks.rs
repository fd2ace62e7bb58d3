//! Tasks of a runtime work for the cell that spawned them, whichever thread polls them.
#![allow(unsafe_code)]

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::cell::{Working, born, gone, own_cell};

/// A future that works for the cell that made it.
pub struct InCell<F> {
    cell: u64,
    future: F,
}

/// The future as one of the running cell. The generated source puts what is spawned into it.
pub fn in_cell<F: Future>(future: F) -> InCell<F> {
    born();
    InCell {
        cell: own_cell(),
        future,
    }
}

impl<F: Future> Future for InCell<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let cell = self.cell;
        // SAFETY: the future is moved out of here by nobody, and is pinned as this is.
        let future = unsafe { self.map_unchecked_mut(|own| &mut own.future) };
        let _working = Working::on(cell);
        future.poll(context)
    }
}

impl<F> Drop for InCell<F> {
    fn drop(&mut self) {
        gone();
    }
}
