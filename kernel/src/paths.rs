//! Folders of the user, as the environment names them.

use std::env;
use std::path::PathBuf;

/// `$XDG_DATA_HOME`, by default `~/.local/share`.
pub fn user_data() -> Option<PathBuf> {
    set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local").join("share")))
}

/// A variable that is set, and not to nothing.
pub fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}
