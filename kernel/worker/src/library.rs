//! Compiled cells as shared libraries. They are never closed: values and threads may use their code to the end.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};

use carrel_runtime::{Ended, Scope};
use nix::libc::{RTLD_GLOBAL, RTLD_NOW, dlerror, dlopen, dlsym};

/// The function that a cell's statements are compiled to.
pub type Entry = fn(&mut Scope) -> Ended;

pub struct Library(*mut c_void);

/// Loads a library whose symbols later cells see.
pub fn open(path: &CStr) -> Result<Library, String> {
    // SAFETY: the path is a C string. When it is loaded, a cell's library runs no code but the registration of
    // renderers, unless the person wrote such code, which is theirs to run.
    let handle = unsafe { dlopen(path.as_ptr(), RTLD_NOW | RTLD_GLOBAL) };
    if handle.is_null() {
        return Err(last_error());
    }
    Ok(Library(handle))
}

impl Library {
    pub fn entry(&self, name: &CStr) -> Result<Entry, String> {
        // SAFETY: the handle is open, the name is a C string.
        let symbol = unsafe { dlsym(self.0, name.as_ptr()) };
        if symbol.is_null() {
            return Err(last_error());
        }
        // SAFETY: the kernel generates the function of this name with this signature, and compiles it with the
        // compiler and against the runtime that this program was built with.
        Ok(unsafe { std::mem::transmute::<*mut c_void, Entry>(symbol) })
    }
}

fn last_error() -> String {
    // SAFETY: `dlerror` gives null or a C string that is valid until the next call of its family by this thread.
    let error = unsafe { dlerror().as_ref().map(|start| CStr::from_ptr(start)) };
    error.map_or_else(
        || "unknown error".to_owned(),
        |error| error.to_string_lossy().into_owned(),
    )
}
