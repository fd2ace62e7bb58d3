//! Files that are replaced in one go: readers find the old or the new one, and nothing else is left.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Replaces a file by what `write` writes beside it first.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.unfinished", std::process::id()));
    let unfinished = path.with_file_name(name);
    let replaced = File::create(&unfinished)
        .and_then(|mut file| write(&mut file))
        .and_then(|()| fs::rename(&unfinished, path));
    if replaced.is_err() {
        // What is not there need not be removed.
        let _ = fs::remove_file(&unfinished);
    }
    replaced
}
