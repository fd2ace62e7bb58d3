//! The shared objects of this process: where a function lies in them, so that another process that loads the same ones
//! finds it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io, slice};

use nix::libc::{PT_LOAD, RTLD_GLOBAL, RTLD_NOW, dl_iterate_phdr, dl_phdr_info, dlerror, dlopen};

/// A loaded object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// Empty for the program itself.
    pub path: PathBuf,
    base: usize,
    segments: Vec<Range<usize>>,
}

/// All objects in the order in which they were loaded, the program itself first.
pub(super) fn loaded() -> Vec<Object> {
    unsafe extern "C" fn note(
        info: *mut dl_phdr_info,
        _size: usize,
        objects: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader hands over a valid description, and the pointer that `loaded` gave it.
        let (info, objects) = unsafe { (&*info, &mut *objects.cast::<Vec<Object>>()) };
        // SAFETY: as above; the name is a C string.
        let name = unsafe { CStr::from_ptr(info.dlpi_name) };
        // SAFETY: as above; the headers are mapped as long as the object is.
        let headers =
            unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let base = info.dlpi_addr as usize;
        let segments = headers.iter().filter(|header| header.p_type == PT_LOAD);
        objects.push(Object {
            path: OsStr::from_bytes(name.to_bytes()).into(),
            base,
            segments: segments
                .map(|header| {
                    let start = base + header.p_vaddr as usize;
                    start..start + header.p_memsz as usize
                })
                .collect(),
        });
        0
    }
    let mut objects: Vec<Object> = Vec::new();
    // SAFETY: the callback takes the pointer for what it is, and the call is over when this function returns.
    unsafe { dl_iterate_phdr(Some(note), (&raw mut objects).cast()) };
    objects
}

impl Object {
    /// The file name; empty for the program itself.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// How far an address is from where the object begins, if it lies in it.
    pub fn offset(&self, address: usize) -> Option<u64> {
        let mut segments = self.segments.iter();
        let lies_in = segments.any(|segment| segment.contains(&address));
        lies_in.then(|| (address - self.base) as u64)
    }

    /// The inverse of [`Self::offset`].
    pub fn address(&self, offset: u64) -> Option<usize> {
        let address = self.base.checked_add(usize::try_from(offset).ok()?)?;
        self.offset(address).map(|_| address)
    }
}

/// Loads an object for good, whose symbols later ones see.
pub(super) fn open(path: &Path) -> Result<(), String> {
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the path is a C string. What the object does when it is loaded it did in the process before.
    let handle = unsafe { dlopen(name.as_ptr(), RTLD_NOW | RTLD_GLOBAL) };
    if !handle.is_null() {
        return Ok(());
    }
    // SAFETY: `dlerror` gives null or a C string that is valid until the next call of its family by this thread.
    let error = unsafe { dlerror().as_ref().map(|start| CStr::from_ptr(start)) };
    Err(error.map_or_else(
        || format!("{} cannot be loaded", path.display()),
        |error| error.to_string_lossy().into_owned(),
    ))
}

/// Begins this program again where it does not look for objects in `folder`: they may name one another by
/// file names only, and where to look is read once, at the beginning.
pub(super) fn look_in(folder: &Path) {
    const NAME: &str = "LD_LIBRARY_PATH";
    let before = env::var_os(NAME).unwrap_or_default();
    if env::split_paths(&before).next() == Some(folder.to_owned()) {
        return;
    }
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&before));
    let begun = env::join_paths(folders)
        .map_err(io::Error::other)
        .and_then(|folders| {
            let mut again = Command::new(env::current_exe()?);
            again.args(env::args_os().skip(1)).env(NAME, folders);
            Err::<(), _>(again.exec())
        });
    // Objects that need no others are found all the same.
    if let Err(error) = begun {
        eprintln!("{NAME} could not be set: {error}");
    }
}
