//! The cells whose items later cells see, and the crates in which these are compiled.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use super::parse::{ItemKind, ItemPart, OF_STD, Parsed};
use super::rank::Ranked;

mod concerned;

/// What every cell sees.
const RUNTIME: &str = "::carrel_runtime::prelude";
/// That and what the prepared crates offer.
const PRELUDE: &str = "::carrel_prelude::prelude";

#[derive(Debug, Default)]
pub struct Items {
    /// Oldest first.
    pub cells: Vec<ItemCell>,
    /// `:dep` gave cells a serde_json: `json!` is to make its values, not those of the prepared one.
    pub own_json: bool,
    /// What loaded cells export by names of their own.
    pub symbols: HashSet<String>,
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
    /// It sees the prepared crates, and so do later cells through it.
    pub prelude: bool,
    /// Names that several globs brought to it.
    pub ranked: Ranked,
    /// Some of its items gave way to those of a later cell, or name a crate that `:dep` changed.
    pub changed: bool,
}

impl Items {
    /// Whether what a cell sees of the first `count` cells holds the prepared crates.
    pub fn have_prelude(&self, count: usize) -> bool {
        self.cells[..count].last().is_some_and(|last| last.prelude)
    }

    /// Imports of all that a cell after the first `count` sees, but for names of its own. A glob import gives way to
    /// names defined in the cell: the newest definition wins there and in all later cells.
    pub fn imports(&self, count: usize, prelude: bool, own: &[ItemPart]) -> String {
        let before = &self.cells[..count];
        let path = &*self.path(count);
        let mut imports = format!("pub use {path}::*;");
        imports.push_str(&self.private(count, own));
        if self.have_prelude(count) {
            // Not only through earlier cells: what those do not offer has a path by this crate alone.
            imports.push_str(" use ::carrel_prelude::prelude as __carrel_prelude;");
        }
        if prelude && !self.have_prelude(count) {
            imports.push_str(&format!(" pub use {PRELUDE}::*;"));
        }
        imports.push_str(&by_name(defined(before), path, own));
        imports
    }

    /// The path of what a cell after the first `count` sees.
    pub fn path(&self, count: usize) -> String {
        let last = self.cells[..count].last();
        last.map_or_else(|| RUNTIME.to_owned(), ItemCell::path)
    }

    /// What every cell imports for itself, for it may be another thing for the next one: `extern crate .. as ..;` of the
    /// first `count` cells, and `json!`.
    pub fn private(&self, count: usize, own: &[ItemPart]) -> String {
        let before = &self.cells[..count];
        let mut imports = extern_crates(before, own, false);
        let mut defined = before
            .iter()
            .flat_map(|cell| names(&cell.items))
            .chain(names(own));
        if self.own_json && !defined.any(|name| name == "json") {
            imports.push_str(" use ::serde_json::json;\n");
        }
        imports
    }

    /// The `#[macro_use] extern crate ..;` of earlier cells. Only the root of a crate may have them.
    pub fn macro_crates(&self, count: usize, own: &[ItemPart]) -> String {
        extern_crates(&self.cells[..count], own, true)
    }

    /// Whether a cell may name something that earlier cells define, or call a method of a trait that they have. To the
    /// compiler each of their crates costs time.
    pub fn concern(&self, parsed: &Parsed) -> bool {
        let mut earlier = self.cells.iter().flat_map(|cell| &cell.items);
        !parsed.items.is_empty()
            || earlier.any(|item| {
                let Some(names) = &item.names else {
                    return true;
                };
                names.iter().any(|name| parsed.words.contains(name))
                    || parsed.calls_methods && item.may_bring_methods(names)
            })
    }

    /// Whether one may bring a method to values of other types, such as `evcxr_display`.
    pub fn bring_methods(&self) -> bool {
        let mut items = self.cells.iter().flat_map(|cell| &cell.items);
        items.any(|item| match &item.names {
            Some(names) => item.may_bring_methods(names),
            None => true,
        })
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

    /// Macros that have a value also when they are called with braces.
    pub fn value_macros(&self) -> HashSet<String> {
        let mut names = HashSet::new();
        for item in self.cells.iter().flat_map(|cell| &cell.items) {
            item.kind.note_macro(&mut names);
        }
        names
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
}

/// Names that cells define, or that several globs brought to them.
pub fn defined(cells: &[ItemCell]) -> impl Iterator<Item = &String> {
    cells
        .iter()
        .flat_map(|cell| names(&cell.items).chain(cell.ranked.keys()))
}

/// Imports of those `defined` names that macros of the standard library have: these do not give way to globs.
pub fn by_name<'a>(
    defined: impl Iterator<Item = &'a String>,
    path: &str,
    own: &[ItemPart],
) -> String {
    let own: HashSet<&String> = names(own).collect();
    let counts = |name: &&String| OF_STD.contains(&name.as_str()) && !own.contains(name);
    let defined: BTreeSet<&String> = defined.filter(counts).collect();
    defined
        .into_iter()
        .map(|name| format!(" pub use {path}::{name};"))
        .collect()
}

/// What `before` has of `extern crate krate as name;`, or of those with `#[macro_use]`, but for names of its own.
fn extern_crates(before: &[ItemCell], own: &[ItemPart], macros: bool) -> String {
    let mut lines: BTreeMap<&str, String> = BTreeMap::new();
    for cell in before {
        for item in &cell.items {
            let Some(found) = item.extern_crate() else {
                continue;
            };
            if found.macros == macros && (macros || found.name != found.krate) {
                let line = match found.as_use() {
                    Some(line) => line,
                    None => cell.code[item.part.range.clone()].to_owned(),
                };
                lines.insert(&found.name, line);
            }
        }
    }
    for own in own.iter().filter_map(ItemPart::extern_crate) {
        lines.remove(&*own.name);
    }
    lines
        .into_values()
        .map(|line| format!(" {line}\n"))
        .collect()
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

    /// Whether an item defines a name, or a macro is given that name and may do so.
    pub fn may_define(&self, name: &str) -> bool {
        self.items
            .iter()
            .any(|item| match (&item.names, &item.kind) {
                (Some(names), _) => names.iter().any(|other| other == name),
                (None, ItemKind::Call(words)) => words.contains(name),
                (None, _) => false,
            })
    }
}

impl ItemPart {
    fn defines(&self, name: &str) -> bool {
        self.names.iter().flatten().any(|other| other == name)
    }

    /// What it gives another name.
    fn other_names(&self) -> Option<&HashSet<String>> {
        matches!(self.kind, ItemKind::Use(_) | ItemKind::Alias).then_some(&self.words)
    }

    /// Whether it defines a trait or imports what may be one.
    fn may_bring_methods(&self, names: &[String]) -> bool {
        let may_be_trait =
            |name: &String| name == "_" || name.starts_with(|first: char| first.is_uppercase());
        match self.kind {
            ItemKind::Trait => true,
            ItemKind::Use(_) => names.iter().any(may_be_trait),
            _ => false,
        }
    }
}

/// What the items define, as far as it can be named in an import.
fn names(items: &[ItemPart]) -> impl Iterator<Item = &String> {
    let names = items
        .iter()
        // Those are private to each cell.
        .filter(|item| item.extern_crate().is_none())
        .filter_map(|item| item.names.as_ref())
        .flatten();
    names.filter(|name| !["self", "_"].contains(&name.as_str()))
}

fn texts<'a>(code: &'a str, items: &'a [ItemPart]) -> impl Iterator<Item = &'a str> {
    items.iter().map(|item| &code[item.part.range.clone()])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::parse::{Parsed, parse};
    use super::{ItemCell, Items, Ranked};

    fn parsed(code: &str) -> Parsed {
        parse(code, false, HashSet::new()).unwrap()
    }

    fn concern(earlier: &str, code: &str) -> bool {
        let cell = ItemCell {
            name: "cell_1".to_owned(),
            crate_name: "cell_1".to_owned(),
            title: String::new(),
            code: earlier.to_owned(),
            items: parsed(earlier).items,
            externs: Vec::new(),
            prelude: false,
            ranked: Ranked::new(),
            changed: false,
        };
        let items = Items {
            cells: vec![cell],
            ..Items::default()
        };
        items.concern(&parsed(code))
    }

    #[test]
    fn a_cell_is_concerned_by_items_that_it_names_or_whose_methods_it_may_call() {
        for (earlier, code) in [
            ("fn f() {}", "f()"),
            ("fn f() {}", "fn g() {}"),
            ("struct S;", "println!(\"{S:?}\")"),
            ("macro_rules! m { () => { 1 } }", "m!()"),
            ("trait T { fn t(&self) {} }", "1.t()"),
            ("use std::fmt::Write as _;", "vec![s.write_str(\"a\")]"),
            ("use std::io::prelude::*;", "1 + 1"),
        ] {
            assert!(concern(earlier, code), "{code} after {earlier}");
        }
        for (earlier, code) in [
            ("fn f() {}", "1 + 1"),
            ("fn f() {}", "v.len()"),
            ("trait T { fn t(&self) {} }", "let x = 1.5; x"),
            ("use std::mem::swap;", "v.len()"),
        ] {
            assert!(!concern(earlier, code), "{code} after {earlier}");
        }
    }
}
