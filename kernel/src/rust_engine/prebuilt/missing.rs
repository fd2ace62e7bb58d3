//! What a machine lacks to run cells, with what a person can do about it.

use std::path::Path;

use carrel_protocol::analysis::standard_library;

use super::installation::{ANALYZER, Prelude, SERVER};
use crate::paths::is_on_path;
use crate::rust_engine::compiler::compile::find_linker;

/// Something that is not there.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    pub what: String,
    /// Without it no cell runs.
    pub is_needed: bool,
}

/// All that is not there, for a kernel that is told this folder of prepared crates or finds its own.
pub fn missing(prelude: Option<&Path>) -> Vec<Missing> {
    let mut found = Vec::new();
    let mut lacks = |is_needed, what: String| found.push(Missing { what, is_needed });
    match prelude.map_or_else(Prelude::find, Prelude::in_folder) {
        Err(error) => lacks(true, error.to_string()),
        Ok(prelude) => {
            if !prelude.folder.join(ANALYZER).is_file() {
                lacks(
                    false,
                    "completion knows words only: `cargo build --release -p carrel-analyzer`, then `carrel-kernel prepare`".to_owned(),
                );
            }
            if !prelude.folder.join(SERVER).is_file() {
                lacks(
                    false,
                    "cells cannot serve networks: `cargo build --release -p carrel-model-server --features rten`, then `carrel-kernel prepare`".to_owned(),
                );
            }
            if standard_library(prelude.sysroot()).is_none() {
                lacks(
                    false,
                    "completion knows no standard library: `rustup component add rust-src`, or on Debian `apt install rust-web-src`".to_owned(),
                );
            }
            if !prelude.rustc.with_file_name("cargo").is_file() {
                lacks(
                    false,
                    format!(
                        "`:dep` builds nothing: there is no cargo beside {}",
                        prelude.rustc.display()
                    ),
                );
            }
        }
    }
    if let Err(error) = find_linker() {
        lacks(true, error);
    }
    if !is_on_path("cc") {
        lacks(
            false,
            "`:dep` and cells with C libraries need a C compiler: `apt install gcc` or `dnf install gcc`".to_owned(),
        );
    }
    found
}
