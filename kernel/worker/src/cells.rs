//! The thread that runs cells. A cell that is left waiting for ever keeps its thread; the variables that it did not take
//! go on to the next one.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};

use carrel_protocol::{Ending, Request};
use carrel_runtime::{Ended, Scope, Stopped};

use crate::event::Event;
use crate::words::{panic_report, place};
use crate::{interrupt, library};

/// Arrays of eight megabytes, the stack of a program's `main`, in code that is not optimized: that copies a value some
/// times on its way into a variable, and each copy has a place of its own. Memory is taken where the stack is used.
const STACK: usize = 256 << 20;
/// Of what a cell used of the stack so much stays for the next one.
const KEPT_STACK: usize = 256 << 10;

/// All variables of the notebook.
#[derive(Clone, Copy)]
pub struct Variables(*mut Scope);

// SAFETY: one thread has them at a time: the next one gets them when the one before is left waiting in the middle of a
// cell, and never runs on. Values that are no `Send`, such as `Rc`, are used by one thread alone so.
unsafe impl Send for Variables {}

impl Default for Variables {
    fn default() -> Self {
        Self(Box::into_raw(Box::default()))
    }
}

impl Variables {
    /// Their names, between cells.
    pub fn names(self) -> Vec<String> {
        // SAFETY: the thread that runs cells waits for the next one, or for ever.
        unsafe { &*self.0 }.names()
    }

    fn scope(&mut self) -> &mut Scope {
        // SAFETY: see `Send` above.
        unsafe { &mut *self.0 }
    }
}

/// Starts the thread. It tells `ended` how each cell ended.
pub fn start(mut variables: Variables, ended: Sender<Event>) -> io::Result<Sender<Request>> {
    let (requests, cells) = channel();
    std::thread::Builder::new()
        // As in a program.
        .name("main".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            carrel_runtime::run_cells();
            interrupt::wake_this_thread();
            for request in cells {
                let ending = run(variables.scope(), request);
                free_stack();
                if ended.send(Event::Ended(ending)).is_err() {
                    return;
                }
            }
        })?;
    Ok(requests)
}

fn run(scope: &mut Scope, request: Request) -> Ending {
    carrel_runtime::install_hook();
    let ending = match request {
        Request::Run {
            cell,
            library,
            entry,
            drop_variables,
        } => {
            carrel_runtime::begin_cell(cell);
            run_cell(scope, &library, entry.as_deref(), &drop_variables)
        }
        Request::Comm { cell, message } => {
            carrel_runtime::begin_cell(cell);
            ending(carrel_runtime::guard(|| {
                carrel_prelude::receive(&message);
                Ended::Ok
            }))
        }
        Request::Taken | Request::Answer { .. } | Request::Interrupt { .. } => Ending::Ok,
    };
    carrel_runtime::end_cell();
    ending
}

fn run_cell(
    scope: &mut Scope,
    library: &str,
    entry: Option<&str>,
    drop_variables: &[String],
) -> Ending {
    let entry = match load(library, entry) {
        Ok(entry) => entry,
        Err(error) => return Ending::NotLoaded(error),
    };
    scope.drop_variables(drop_variables);
    let Some(entry) = entry else {
        return Ending::Ok;
    };
    if let Some(folder) = Path::new(library).parent() {
        carrel_runtime::cells_lie_in(folder);
    }
    // Variables that a cell replaces are dropped outside of its own guard.
    ending(carrel_runtime::guard(|| entry(scope)))
}

/// Gives the memory back that the cell used of the stack.
fn free_stack() {
    let mark = 0_u8;
    let here = (&raw const mark).addr();
    let page = 4096;
    let top = (here - KEPT_STACK) & !(page - 1);
    // What lies below is free to the end of the stack, which is nearer by what was used above, and by its guard.
    let bottom = here.saturating_sub(STACK - (1 << 20)) & !(page - 1);
    let Some(start) = std::ptr::NonNull::new(std::ptr::without_provenance_mut(bottom)) else {
        return;
    };
    // SAFETY: nothing of this thread lies below the function that runs, and pages that are given back are zero again.
    let _ = unsafe {
        nix::sys::mman::madvise(
            start,
            top - bottom,
            nix::sys::mman::MmapAdvise::MADV_DONTNEED,
        )
    };
}

fn ending(ended: Result<Ended, Stopped>) -> Ending {
    match ended {
        Ok(Ended::Ok) => Ending::Ok,
        Ok(Ended::Failed(error)) => Ending::Failed {
            chain: error.chain(),
            place: place(error.place().clone()),
        },
        Ok(Ended::Stopped(stopped)) | Err(stopped) => match stopped {
            Stopped::Panicked(panic) => Ending::Panicked(panic_report(panic)),
            Stopped::Interrupted(at) => Ending::Interrupted(place(at)),
        },
    }
}

fn load(library: &str, entry: Option<&str>) -> Result<Option<library::Entry>, String> {
    let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
    let library = library::open(&text(library)?)?;
    entry.map(|name| library.entry(&text(name)?)).transpose()
}
