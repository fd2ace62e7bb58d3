//! Sources on disk, of the crates that cells can name.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_protocol::analysis::CrateGraph;
use ra_ap_hir::{CfgOptions, Symbol};

/// More files under one folder are not the source of one crate.
const MOST_FILES: usize = 5000;

/// The crates of all files that can be read; a file that cannot costs completion in its crates and no more.
pub fn crate_graphs(files: &[PathBuf]) -> Vec<CrateGraph> {
    let read = |file: &PathBuf| {
        let text = fs::read(file).map_err(|error| error.to_string());
        let graph =
            text.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
        graph
            .inspect_err(|error| eprintln!("carrel-analyzer: {}: {error}", file.display()))
            .ok()
    };
    files.iter().filter_map(read).collect()
}

/// All Rust files of the crate whose root module this is.
pub fn files(root_module: &Path) -> Vec<PathBuf> {
    let mut files = vec![root_module.to_owned()];
    let mut folders: Vec<PathBuf> = root_module
        .parent()
        .map(Path::to_owned)
        .into_iter()
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && entry.file_name() != "tests" => folders.push(path),
                Ok(kind) if kind.is_file() => {
                    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
                    if is_rust && path != root_module {
                        files.push(path);
                    }
                }
                _ => {}
            }
        }
        if files.len() > MOST_FILES {
            break;
        }
    }
    files
}

/// Adds the crates that a source offers on, `pub use NAME`, and those whose macros it is written with, `NAME::item!`.
/// Without these its items cannot be known; those of other crates only show in signatures.
pub fn needs(text: &str, names: &mut HashSet<String>) {
    let is_word = |letter: char| letter == '_' || letter.is_alphanumeric();
    for sign in ["pub use ", "pub extern crate "] {
        for (at, _) in text.match_indices(sign) {
            let name = text[at + sign.len()..].trim_start_matches("::");
            let end = name.find(|letter| !is_word(letter)).unwrap_or(name.len());
            names.insert(name[..end].to_owned());
        }
    }
    for (at, _) in text.match_indices('!') {
        let path = text[..at].trim_end_matches(is_word);
        let Some(path) = path.strip_suffix("::") else {
            continue;
        };
        let start = path.trim_end_matches(is_word).len();
        names.insert(path[start..].to_owned());
    }
}

/// What the compiler sets for this machine.
pub fn platform(sysroot: &Path) -> CfgOptions {
    let output = Command::new(sysroot.join("bin/rustc"))
        .args(["--print", "cfg"])
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut options = CfgOptions::default();
    match text {
        Ok(text) => text.lines().for_each(|line| set(&mut options, line)),
        Err(error) => eprintln!("carrel-analyzer: cannot ask rustc for its cfg: {error}"),
    }
    options
}

/// Sets `unix` or `feature="std"`.
pub fn set(options: &mut CfgOptions, cfg: &str) {
    match cfg.split_once('=') {
        Some((key, value)) => options.insert_key_value(
            Symbol::intern(key.trim()),
            Symbol::intern(value.trim().trim_matches('"')),
        ),
        None => options.insert_atom(Symbol::intern(cfg.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_that_are_offered_or_whose_macros_are_used_are_needed() {
        let text = "pub use ::inner::Item; pub use self::own; pub extern crate whole;
            use hidden::Other; pub(crate) use closed::Thing;
            bitflags::bitflags! { struct Flags: u8 {} }
            fn f() { vec![1 != 2]; }";
        let mut names = HashSet::new();
        needs(text, &mut names);
        let names: std::collections::BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(names, ["bitflags", "inner", "self", "whole"].into());
    }
}
