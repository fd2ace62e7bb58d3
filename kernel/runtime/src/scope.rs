//! The variables that live from cell to cell.

use std::any::Any;
use std::collections::HashMap;
use std::pin::pin;

use crate::boundary::{Output, wait};
use crate::bundle::MimeBundle;
use crate::failure::CellError;
use crate::interrupt::is_interrupted;
use crate::output::send;
use crate::panics::{Stopped, guard};

/// How the statements of a cell ended.
#[derive(Debug)]
pub enum Ended {
    Ok,
    /// `?` at top level.
    Failed(CellError),
    /// By a panic or an interrupt.
    Stopped(Stopped),
}

/// Variables by name. Generated code takes those that a cell mentions, and gives back those it did not move.
#[derive(Default)]
pub struct Scope {
    variables: HashMap<String, Box<dyn Any>>,
}

impl Scope {
    /// Runs the statements of a cell. Generic functions are compiled again in each cell, so this and those below do
    /// no more than they must before they call one that is not.
    pub fn run(&mut self, body: impl FnOnce(&mut Self) -> Result<(), CellError>) -> Ended {
        let mut body = Some(body);
        self.run_once(&mut |scope| match body.take() {
            Some(body) => body(scope),
            None => Ok(()),
        })
    }

    /// Runs the statements of a cell that takes no variables.
    pub fn run_function(&mut self, body: fn(&mut Self) -> Result<(), CellError>) -> Ended {
        self.run(body)
    }

    /// Runs the statements of a cell that waits for futures.
    pub fn run_async(
        &mut self,
        body: impl AsyncFnOnce(&mut Self) -> Result<(), CellError>,
    ) -> Ended {
        self.run(|scope| wait(pin!(body(scope))))
    }

    fn run_once(&mut self, body: &mut dyn FnMut(&mut Self) -> Result<(), CellError>) -> Ended {
        match guard(|| body(self)) {
            Ok(Ok(())) => Ended::Ok,
            // Such as `?` on the result of a task that was interrupted.
            Ok(Err(error)) if is_interrupted() => {
                Ended::Stopped(Stopped::Interrupted(error.place().clone()))
            }
            Ok(Err(error)) => Ended::Failed(error),
            Err(stopped) => Ended::Stopped(stopped),
        }
    }

    /// Moves a variable out of the store.
    ///
    /// # Panics
    /// When there is no such variable of this type: the kernel asks only for variables that the store reported.
    #[track_caller]
    pub fn take<T: 'static>(&mut self, name: &str) -> T {
        match self.remove(name).downcast() {
            Ok(value) => *value,
            Err(_) => unlike_kernel(name),
        }
    }

    /// Stores a variable that the cell declared. From the type of what is returned the kernel learns `T`: of all
    /// types, a pointer's stands in the compiler's output whole and without the module of its own.
    pub fn keep<T: 'static>(&mut self, name: &str, value: T) -> *const T {
        let value = Box::new(value);
        let address = &raw const *value;
        self.insert(name, value);
        address
    }

    /// Gives back a variable that was taken, unless the cell declared a new one of its name.
    pub fn restore<T: 'static>(&mut self, name: &str, value: T) {
        let value = Box::new(value);
        if self.contains(name) {
            drop_value(name, value);
        } else {
            self.insert(name, value);
        }
    }

    /// Gives a variable the type that its definition has in another crate.
    ///
    /// # Safety
    /// `T` is the variable's type, but for types that were compiled again from the same text, by the same compiler
    /// with the same flags and dependencies, and with the same meaning of each name in it, also of types and constants
    /// that an `impl` gives. All that follows from the text then is the same: layout, order of methods in trait objects,
    /// what a destructor does. The compiler does not promise that, but computes it from nothing else
    /// (`-Zrandomize-layout`, which nobody sets here, would take the crate as its seed). evcxr relies on it too.
    #[allow(unsafe_code)]
    pub unsafe fn carry<T: 'static>(&mut self, name: &str) {
        let value = self.remove(name);
        let layout = (size_of_val(&*value), align_of_val(&*value));
        if layout != (size_of::<T>(), align_of::<T>()) {
            drop_value(name, value);
            eprintln!("`{name}` was dropped: its type has another layout than before");
            return;
        }
        let value = Box::into_raw(value).cast::<T>();
        // SAFETY: it comes from a box of this layout, and is a valid `T` as the caller promises.
        let value = unsafe { Box::from_raw(value) };
        self.insert(name, value);
    }

    fn contains(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    fn insert(&mut self, name: &str, value: Box<dyn Any>) {
        if let Some(old) = self.variables.insert(name.to_owned(), value) {
            drop_value(name, old);
        }
    }

    #[track_caller]
    fn remove(&mut self, name: &str) -> Box<dyn Any> {
        self.variables
            .remove(name)
            .unwrap_or_else(|| unlike_kernel(name))
    }

    /// Drops variables.
    pub fn drop_variables(&mut self, names: &[String]) {
        for name in names {
            if let Some(value) = self.variables.remove(name) {
                drop_value(name, value);
            }
        }
    }

    /// Names of all variables.
    pub fn names(&self) -> Vec<String> {
        self.variables.keys().cloned().collect()
    }

    /// Shows the value of the last expression.
    #[track_caller]
    pub(crate) fn rich(&self, bundle: MimeBundle) {
        if !bundle.data.is_empty() {
            send(Output::Result(bundle));
        }
    }

    #[track_caller]
    pub(crate) fn text(&self, text: String) {
        self.rich(MimeBundle::plain(text));
    }
}

/// A destructor that panics must not end the bookkeeping of the others halfway.
fn drop_value(name: &str, value: Box<dyn Any>) {
    let stopped = match guard(|| drop(value)) {
        Ok(()) => return,
        Err(Stopped::Panicked(panic)) => format!("panicked: {}", panic.message),
        Err(Stopped::Interrupted(_)) => "was interrupted".to_owned(),
    };
    eprintln!("the destructor of `{name}`'s old value {stopped}");
}

#[track_caller]
fn unlike_kernel(name: &str) -> ! {
    panic!("the variable `{name}` is not what the kernel takes it for")
}
