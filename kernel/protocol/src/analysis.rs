//! Messages between the kernel and its analyzer, which knows names and types and runs no code.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// From the kernel. Each question carries all that the answer depends on, so that a new analyzer needs no past.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    pub id: u64,
    pub notebook: Notebook,
    /// The cell that is being written; what is no Rust in it is blank.
    pub code: String,
    /// The cursor, in bytes of `code`.
    pub offset: usize,
    pub wish: Wish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// What could stand where the cursor is.
    Complete,
    /// What stands at or before the cursor, with its source if `detail`.
    Inspect { detail: bool },
}

/// What a new cell sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notebook {
    /// Files with a [`CrateGraph`], whose crates cells can name.
    pub crates: Vec<PathBuf>,
    /// Items of cells that ran, oldest first; a name means the newest.
    pub items: Vec<Items>,
    pub variables: Vec<Variable>,
}

/// Public items of one cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Items {
    /// As types name the cell: `cell_3` in `cell_3::Point`.
    pub name: String,
    /// As a person names it: `Cell [3]`.
    pub title: String,
    /// What it defines, as far as that can be told from its text.
    pub names: Vec<String>,
    pub source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    pub r#type: String,
    pub mutable: bool,
}

/// From the analyzer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answer {
    /// That of the question.
    pub id: u64,
    pub reply: Reply,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Best first; each replaces the word before the cursor, see [`word_start`].
    Completions(Vec<Completion>),
    Description(Description),
    /// There is nothing to say, or a later question made this one moot.
    Nothing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    pub text: String,
    /// `function`, `field`, `keyword` and the like.
    pub kind: String,
    /// Such as `fn(&self) -> usize`.
    pub signature: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub plain: String,
    pub markdown: String,
}

/// Crates as sources, much as in rust-analyzer's `rust-project.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CrateGraph {
    pub crates: Vec<CrateSource>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CrateSource {
    pub display_name: String,
    pub root_module: PathBuf,
    pub edition: String,
    /// Such as `feature="std"`.
    pub cfg: Vec<String>,
    pub deps: Vec<CrateDependency>,
    /// Names that cells have for it. Of crates without, those are read that a crate which is read offers or is written
    /// with.
    pub names: Vec<String>,
    pub is_proc_macro: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CrateDependency {
    /// Index in [`CrateGraph::crates`].
    #[serde(rename = "crate")]
    pub index: usize,
    pub name: String,
}

/// Where the word before a byte starts; the byte itself if there is none. A byte that is no boundary of characters
/// counts as the end.
pub fn word_start(code: &str, offset: usize) -> usize {
    let before = code.get(..offset).unwrap_or(code);
    before.trim_end_matches(is_word).len()
}

pub fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

/// The folder with `core`, `alloc` and `std`: the one that the person names, the toolchain's own, or Debian's.
pub fn standard_library(sysroot: &Path) -> Option<PathBuf> {
    let installed = |root: &Path| root.join("lib/rustlib/src/rust/library");
    let folders = match std::env::var_os("RUST_SRC_PATH") {
        Some(folder) => vec![PathBuf::from(folder)],
        None => vec![installed(sysroot), installed(Path::new("/usr"))],
    };
    folders
        .into_iter()
        .find(|folder| folder.join("core/src/lib.rs").is_file())
}
