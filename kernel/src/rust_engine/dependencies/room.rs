//! How much the cache of dependencies takes, and what of it goes when that is too much.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::cache::{Cache, HELD, STAMP};

/// Of so many bytes when `$CARREL_DEPS_CACHE_MIB` does not say otherwise.
const LIMIT: u64 = 8 << 30;
pub const MIB: u64 = 1 << 20;

/// The limit of a notebook that does not set its own.
pub fn default_limit() -> u64 {
    let set = std::env::var("CARREL_DEPS_CACHE_MIB");
    let set = set.ok().and_then(|set| set.parse::<u64>().ok());
    set.map_or(LIMIT, |mib| mib.saturating_mul(MIB))
}

impl Cache {
    /// Bytes on the disk.
    pub fn size(&self) -> u64 {
        size(self.folder(), &mut HashSet::new())
    }

    /// Removes what it takes to get below a limit, and some more; gives the bytes. First goes what cargo built the sets
    /// from, then those that were not used for the longest time. Those that a notebook has stay.
    ///
    /// # Errors
    /// Where files cannot be removed.
    pub async fn shrink(&self, limit: u64, locked: File) -> io::Result<u64> {
        let cache = self.clone();
        let shrink = move || {
            let removed = cache.shrink_now(limit);
            // Also where nobody waits for this any more.
            drop(locked);
            removed
        };
        tokio::task::spawn_blocking(shrink).await?
    }

    fn shrink_now(&self, limit: u64) -> io::Result<u64> {
        let before = self.size();
        if before <= limit {
            return Ok(0);
        }
        if let Err(error) = fs::remove_dir_all(self.target())
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        for set in self.oldest_first()? {
            if self.size() <= limit / 4 * 3 {
                break;
            }
            let held = File::create(set.join(HELD))?;
            if held.try_lock().is_ok() {
                fs::remove_dir_all(set)?;
            }
        }
        Ok(before.saturating_sub(self.size()))
    }

    /// The folders of all sets; those that were never built come first.
    fn oldest_first(&self) -> io::Result<Vec<PathBuf>> {
        let mut sets = Vec::new();
        for set in fs::read_dir(self.folder().join("sets"))? {
            let set = set?.path();
            let used = fs::metadata(set.join(STAMP)).and_then(|stamp| stamp.modified());
            sets.push((used.unwrap_or(SystemTime::UNIX_EPOCH), set));
        }
        sets.sort();
        Ok(sets.into_iter().map(|(_, set)| set).collect())
    }
}

/// Of all files below; one with several names counts once. What just went away takes nothing.
fn size(folder: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => size(&entry.path(), seen),
        Ok(about) if seen.insert((about.dev(), about.ino())) => about.blocks() * 512,
        _ => 0,
    });
    sizes.sum()
}
