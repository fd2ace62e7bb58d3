//! Files that are replaced in one go: readers find the old or the new one, also after a power cut, and nothing else is
//! left.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::Builder;

/// Replaces a file by what `write` writes beside it first. It outlives a crash of the machine.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    replace_unsynced(path, |file| {
        write(file)?;
        file.sync_all()
    })?;
    sync(folder_of(path))
}

/// The same for what need not outlive the machine, such as a status that changes every second.
pub(crate) fn replace_unsynced(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    let mut file = Builder::new()
        .prefix(&name)
        .suffix(".unfinished")
        // The person's umask decides, as for any file.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder_of(path))?;
    write(file.as_file_mut())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Makes what was renamed or removed in a folder outlive a crash of the machine.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}
