//! The cells whose items later cells see, and the crates in which these are compiled.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::parse::{ItemKind, ItemPart, Parsed};

/// What a cell sees when no cell before it has defined anything.
const PRELUDE: &str = "::carrel_prelude::prelude";

#[derive(Debug, Default)]
pub struct Items {
    /// Oldest first.
    pub cells: Vec<ItemCell>,
    /// All that are loaded, oldest first. Values keep code and statics of those in use whose items were compiled again.
    pub crates: Vec<ItemCrate>,
}

#[derive(Debug)]
pub struct ItemCrate {
    pub name: String,
    pub library: PathBuf,
}

/// A cell with items.
#[derive(Debug, Clone)]
pub struct ItemCell {
    /// `cell_3`, which is also the name of its own crate.
    pub name: String,
    /// The crate that it is in now: its own, or one where it is the module `in_cell_3`.
    pub crate_name: String,
    pub title: String,
    pub code: String,
    pub items: Vec<ItemPart>,
    /// The crates that its items name, as `name=file`, when they were compiled last.
    pub externs: Vec<String>,
    /// Some of its items gave way to those of a later cell, or name a crate that `:dep` changed.
    pub changed: bool,
}

impl Items {
    /// The path of the module with all items before those of cell `index`.
    pub fn before(&self, index: usize) -> String {
        let last = index.checked_sub(1).and_then(|last| self.cells.get(last));
        last.map_or_else(|| PRELUDE.to_owned(), ItemCell::path)
    }

    pub fn crate_names(&self) -> Vec<String> {
        self.crates.iter().map(|one| one.name.clone()).collect()
    }

    /// Libraries that a new worker must load before the next cell.
    pub fn libraries(&self) -> impl Iterator<Item = &Path> {
        self.crates.iter().map(|one| &*one.library)
    }

    /// Takes note that a crate is another one now: a cell that names it and is run again is to see that.
    pub fn crate_changed(&mut self, name: &str) {
        for cell in &mut self.cells {
            let mut items = cell.items.iter();
            cell.changed |= items.any(|item| item.words.contains(name));
        }
    }

    /// Whether any item mentions a word.
    pub fn mention(&self, word: &str) -> bool {
        let mut items = self.cells.iter().flat_map(|cell| &cell.items);
        items.any(|item| item.words.contains(word))
    }

    /// Whether a cell's items, word for word, are those that later cells see already: a cell that is run again then
    /// leaves the values of its types as they are.
    pub fn has_already(&self, code: &str, parsed: &Parsed) -> bool {
        let words: HashSet<&String> = parsed.items.iter().flat_map(|item| &item.words).collect();
        for earlier in self.cells.iter().rev() {
            let same = texts(&earlier.code, &earlier.items).eq(texts(code, &parsed.items));
            if same && !earlier.changed {
                return true;
            }
            for item in &earlier.items {
                match &item.names {
                    Some(names) if names.iter().all(|name| !words.contains(name)) => {}
                    _ => return false,
                }
            }
        }
        false
    }

    /// The newest cell with which the impls of a cell must be in one crate; none if they need no other.
    pub fn concerned(&self, parsed: &Parsed) -> Option<usize> {
        let own = |name: &&String| {
            let mut items = parsed.items.iter();
            !items.any(|item| item.names.as_ref().is_some_and(|all| all.contains(name)))
        };
        let newest = |head: &String| self.cells.iter().rposition(|cell| cell.defines(head));
        let impls = parsed.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Impl(r#impl) => Some(r#impl),
            _ => None,
        });
        impls
            .filter_map(|r#impl| r#impl.heads.iter().filter(own).filter_map(newest).max())
            .min()
    }
}

impl ItemCell {
    /// The path of the module with its items and all earlier ones.
    pub fn path(&self) -> String {
        match self.name == self.crate_name {
            true => format!("::{}", self.name),
            false => format!("::{}::{}", self.crate_name, self.module()),
        }
    }

    /// Its name as a module of a crate that it is merged into.
    pub fn module(&self) -> String {
        format!("in_{}", self.name)
    }

    /// Takes note of those of a compilation's crates that its items name.
    pub fn set_externs(&mut self, externs: &[String]) {
        let named = |one: &&String| {
            let name = one.split('=').next().unwrap_or_default();
            self.items.iter().any(|item| item.words.contains(name))
        };
        self.externs = externs.iter().filter(named).cloned().collect();
    }

    pub fn defines(&self, name: &str) -> bool {
        let mut names = self.items.iter().filter_map(|item| item.names.as_ref());
        names.any(|names| names.iter().any(|other| other == name))
    }
}

fn texts<'a>(code: &'a str, items: &'a [ItemPart]) -> impl Iterator<Item = &'a str> {
    items.iter().map(|item| &code[item.part.range.clone()])
}
