//! The folder of a model: which versions it has, and which of them are wanted.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::VersionPolicy;

/// The versions of a folder: its folders whose names are numbers.
///
/// # Errors
/// Where the folder cannot be read.
pub fn versions(base: &Path) -> io::Result<BTreeSet<i64>> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(base)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        // Links are followed: a volume of Kubernetes has its files by them.
        if let Some(number) = number.filter(|number: &i64| *number >= 0)
            && entry.path().is_dir()
        {
            found.insert(number);
        }
    }
    Ok(found)
}

/// Those that the policy asks for.
#[must_use]
pub fn wanted(found: &BTreeSet<i64>, policy: &VersionPolicy) -> BTreeSet<i64> {
    match policy {
        VersionPolicy::Latest(count) => found.iter().rev().take(*count).copied().collect(),
        VersionPolicy::All => found.clone(),
        VersionPolicy::Specific(numbers) => {
            let numbers = numbers.iter().copied();
            numbers.filter(|number| found.contains(number)).collect()
        }
    }
}

/// The folder of a version; its name may have zeros before the number.
#[must_use]
pub fn folder(base: &Path, version: i64) -> PathBuf {
    let plain = base.join(version.to_string());
    if plain.is_dir() {
        return plain;
    }
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    let same = |name: &std::ffi::OsString| {
        let number = name.to_str().and_then(|name| name.parse::<i64>().ok());
        number == Some(version)
    };
    let mut names = entries.map(|entry| entry.file_name());
    names.find(same).map_or(plain, |name| base.join(name))
}

/// What changes when a file of the folder does: how many there are and when the newest was written.
#[must_use]
pub fn stamp(folder: &Path) -> (usize, Option<SystemTime>) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let times: Vec<_> = entries
        .filter_map(|entry| std::fs::metadata(entry.path()).ok()?.modified().ok())
        .collect();
    (times.len(), times.into_iter().max())
}
