//! The folder in which a kernel compiles cells: closed to others, and removed by the next kernel where its own was killed.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};
use tempfile::TempDir;

use crate::paths::{set, user_cache};

const PREFIX: &str = "carrel-kernel-";
/// In the folder, locked by its kernel.
const LOCK: &str = ".lock";

#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one, and removes what killed kernels of this user left beside it.
    pub fn make() -> Result<Self, String> {
        let place = places().find(|place| can_run(place));
        let place = place.ok_or(
            "cells are compiled into libraries, and no folder for them may run programs: name one by $TMPDIR",
        )?;
        sweep(&place);
        Self::make_in(&place).map_err(|error| {
            let place = place.display();
            format!("cannot make a folder for compiled cells in {place} ($TMPDIR): {error}")
        })
    }

    fn make_in(place: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            // A cell may hold a password.
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(place)?;
        // Under its name it is locked already, so that nobody takes the folder for one that was left.
        let new = folder.path().join("lock.new");
        let lock = File::create(&new)?;
        lock.lock()?;
        fs::rename(&new, folder.path().join(LOCK))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Where it may be, the best first.
fn places() -> impl Iterator<Item = PathBuf> {
    let own = || {
        let run = user_cache()?.join("carrel/run");
        fs::create_dir_all(&run).ok().map(|()| run)
    };
    std::iter::once_with(|| Some(std::env::temp_dir()))
        .chain(std::iter::once_with(|| set("XDG_RUNTIME_DIR")))
        .chain(std::iter::once_with(own))
        .flatten()
}

/// Hardened machines mount `/tmp` with `noexec`, and no library can be loaded from there.
fn can_run(place: &Path) -> bool {
    statvfs(place).is_ok_and(|system| !system.flags().contains(FsFlags::ST_NOEXEC))
}

/// Whose kernel lives is locked; what cannot be removed is left.
fn sweep(place: &Path) {
    let own = nix::unistd::geteuid().as_raw();
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let is_own = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry
                .metadata()
                .is_ok_and(|found| found.is_dir() && found.uid() == own);
        if is_own
            && let Ok(lock) = File::open(entry.path().join(LOCK))
            && lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!("Cannot remove {}: {error}", entry.path().display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_kernel_left_is_removed_and_what_a_living_one_has_is_not() {
        let place = tempfile::tempdir().unwrap();
        let living = Scratch::make_in(place.path()).unwrap();
        let killed = Scratch::make_in(place.path()).unwrap();
        // As a kill does: the folder stays, the lock goes.
        let Scratch { folder, _lock } = killed;
        let left = folder.keep();
        drop(_lock);
        let foreign = place.path().join(format!("{PREFIX}foreign"));
        fs::create_dir(&foreign).unwrap();
        sweep(place.path());
        assert!(!left.exists());
        assert!(living.path().exists() && foreign.exists());
        let mode = fs::metadata(living.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
