//! Folders of the user, as the environment names them.

use std::env;
use std::path::PathBuf;

/// `$XDG_DATA_HOME`, by default `~/.local/share`.
pub fn user_data() -> Option<PathBuf> {
    set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local").join("share")))
}

/// `$XDG_CACHE_HOME`, by default `~/.cache`.
pub fn user_cache() -> Option<PathBuf> {
    let cache = set("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
    cache.or_else(|| Some(set("HOME")?.join(".cache")))
}

/// Whether `$PATH` has a program.
pub fn is_on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A variable that is set, and not to nothing.
pub fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
