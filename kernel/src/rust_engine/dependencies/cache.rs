//! The folder of built dependencies, shared by all kernels of a person that use the same compiler.
//!
//! `target` is cargo's; `sets/<key>` is the package of one set of dependencies, and `sets/<key>/<contents>` what it was
//! built to, which never changes once it is there.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::progress::Progress;
use crate::paths::user_cache;

pub const STAMP: &str = "built.json";
/// Locked by whoever uses the set.
pub const HELD: &str = "held";
/// How often a kernel that waits for another looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

/// A set of dependencies that cells can use. Its library holds the crates that no earlier set of the notebook has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    pub key: String,
    pub library: PathBuf,
    /// Metadata of all crates, for the compiler.
    pub crates: PathBuf,
    /// Where the sources of its crates are, for the analyzer.
    pub sources: PathBuf,
    /// By the name that code has for it.
    pub named: BTreeMap<String, Named>,
    /// Hash of each crate whose source may change, by its file name, which stays.
    pub changeable: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    pub file: PathBuf,
    pub package: String,
    pub version: String,
}

impl Cache {
    /// In `$XDG_CACHE_HOME`, or in `~/.cache`.
    pub fn of_user() -> Option<PathBuf> {
        let cache = user_cache()?;
        Some(cache.join("carrel").join("deps"))
    }

    /// The part of `folder` for one compiler, told by its `rustc -vV`.
    pub fn open(folder: &Path, rustc_version: &str) -> io::Result<Self> {
        let folder = folder.join(hash([rustc_version]));
        fs::create_dir_all(folder.join("sets"))?;
        // Rebuilt at will, so no backup needs it: https://bford.info/cachedir/
        let tag = folder.join("CACHEDIR.TAG");
        if !tag.is_file() {
            fs::write(tag, "Signature: 8a477f597d28d172789f06886806bc55\n")?;
        }
        Ok(Self {
            folder: folder.canonicalize()?,
        })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// Where the newest known commits of repositories are.
    pub fn heads(&self) -> PathBuf {
        self.folder.join("heads")
    }

    pub fn package(&self, key: &str) -> PathBuf {
        self.folder.join("sets").join(key)
    }

    /// Waits until no other kernel builds; that file is locked for as long as it is open.
    pub async fn lock(&self, progress: &mut Progress<'_>) -> io::Result<File> {
        let file = File::create(self.folder.join("lock"))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {
                    progress
                        .step("waiting for another notebook, which builds dependencies")
                        .await;
                    progress.tick().await;
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }

    /// What the set of this key was built to, if that is still whole and cannot have changed since.
    pub fn known(&self, key: &str) -> Option<(Built, Held)> {
        let held = self.hold(key).ok()?;
        let text = fs::read(self.package(key).join(STAMP)).ok()?;
        let built: Built = serde_json::from_slice(&text).ok()?;
        let mut files = built.named.values().map(|named| &named.file);
        let whole = files.all(|file| file.is_file()) && built.library.is_file();
        if !whole || !built.changeable.is_empty() {
            return None;
        }
        let stamp = File::options()
            .write(true)
            .open(self.package(key).join(STAMP));
        // Only then it is taken for older than it is.
        let _ = stamp.and_then(|stamp| stamp.set_modified(SystemTime::now()));
        Some((built, held))
    }

    /// Keeps a set from being removed, for as long as the result lives. An error if it is just removed.
    pub fn hold(&self, key: &str) -> io::Result<Held> {
        let file = File::create(self.package(key).join(HELD))?;
        file.try_lock_shared()?;
        Ok(Held { _file: file })
    }

    /// Puts away what a set was built to; `fill` writes into a folder that then gets its name, unless it is there.
    pub fn keep(
        &self,
        key: &str,
        contents: &str,
        fill: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let package = self.package(key);
        let folder = package.join(contents);
        if !folder.is_dir() {
            let new = tempfile::Builder::new()
                .prefix("new-")
                .tempdir_in(&package)?;
            fill(new.path())?;
            fs::rename(new.keep(), &folder)?;
        }
        Ok(folder)
    }

    pub fn stamp(&self, built: &Built) -> io::Result<()> {
        let package = self.package(&built.key);
        let mut new = tempfile::NamedTempFile::new_in(&package)?;
        serde_json::to_writer_pretty(&mut new, built)?;
        new.persist(package.join(STAMP))?;
        Ok(())
    }
}

/// A notebook that uses a set.
#[derive(Debug)]
pub struct Held {
    _file: File,
}

/// A short name for texts.
pub fn hash<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    }
    hex::encode(&hasher.finalize()[..8])
}
