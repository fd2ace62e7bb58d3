//! Threads that cells start work for their cell, as do those that they start in turn. Threads that a library starts for
//! itself, such as those of a pool, work for whichever cell runs.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libc::{Dl_info, pthread_attr_t, pthread_t};

use crate::cell::{Working, born, gone, own_cell};
use crate::real::real;

type Start = extern "C-unwind" fn(*mut c_void) -> *mut c_void;
type Create =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;
type Step = extern "C" fn(*mut c_void, *mut c_void) -> c_int;

/// Frames between `pthread_create` and who started the thread are those of `std`.
const MOST_FRAMES: usize = 16;
/// Of `_Unwind_Reason_Code`.
const GO_ON: c_int = 0;
const NO_MORE: c_int = 4;

unsafe extern "C" {
    fn _Unwind_Backtrace(step: Step, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

/// Where the libraries of cells lie.
static CELLS: OnceLock<PathBuf> = OnceLock::new();

/// Makes the folder of compiled cells known; only the first call counts.
pub fn cells_lie_in(folder: &Path) {
    CELLS.get_or_init(|| folder.to_owned());
}

struct Started {
    cell: u64,
    start: Start,
    argument: *mut c_void,
}

/// As POSIX has it.
///
/// # Safety
/// As POSIX has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let cell = own_cell();
    if cell == 0 || !is_called_by_cell() {
        return real!(
            c"pthread_create" as Create,
            thread,
            attributes,
            start,
            argument
        );
    }
    let started = Box::into_raw(Box::new(Started {
        cell,
        start,
        argument,
    }));
    born();
    let made = real!(
        c"pthread_create" as Create,
        thread,
        attributes,
        begin,
        started.cast()
    );
    if made != 0 {
        gone();
        // SAFETY: no thread was made that would take it.
        drop(unsafe { Box::from_raw(started) });
    }
    made
}

extern "C-unwind" fn begin(started: *mut c_void) -> *mut c_void {
    // SAFETY: `pthread_create` above made it for this thread alone.
    let started = unsafe { Box::from_raw(started.cast::<Started>()) };
    let Started {
        cell,
        start,
        argument,
    } = *started;
    // To the thread's end, also for destructors of its thread-local variables.
    std::mem::forget(Working::on(cell));
    let result = start(argument);
    gone();
    result
}

/// Whether the first function on the stack that is none of `std` is one of a cell.
fn is_called_by_cell() -> bool {
    let mut caller = Caller {
        frames: 0,
        is_cell: false,
    };
    // SAFETY: `step` takes what is handed over, and unwinds nothing.
    unsafe { _Unwind_Backtrace(step, (&raw mut caller).cast()) };
    caller.is_cell
}

struct Caller {
    frames: usize,
    is_cell: bool,
}

extern "C" fn step(context: *mut c_void, caller: *mut c_void) -> c_int {
    // SAFETY: `is_called_by_cell` hands it over, and waits.
    let caller = unsafe { &mut *caller.cast::<Caller>() };
    caller.frames += 1;
    // SAFETY: the context is that of the frame that is told.
    let address = unsafe { _Unwind_GetIP(context) };
    let Some(library) = library_of(address) else {
        return NO_MORE;
    };
    let name = library.file_name().unwrap_or_default().as_bytes();
    if name.starts_with(b"libstd-") || name.starts_with(b"libcarrel_runtime") {
        return if caller.frames < MOST_FRAMES {
            GO_ON
        } else {
            NO_MORE
        };
    }
    caller.is_cell = CELLS.get().is_some_and(|cells| library.starts_with(cells));
    NO_MORE
}

fn library_of(address: usize) -> Option<&'static Path> {
    let mut found = std::mem::MaybeUninit::<Dl_info>::zeroed();
    // SAFETY: `found` is there to be written.
    let told = unsafe { libc::dladdr(address as *const c_void, found.as_mut_ptr()) };
    // SAFETY: all of its fields may be zero.
    let found = unsafe { found.assume_init() };
    if told == 0 || found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader keeps the name as long as the library, and no library is ever closed here.
    let name = unsafe { CStr::from_ptr(found.dli_fname) };
    Some(Path::new(OsStr::from_bytes(name.to_bytes())))
}
