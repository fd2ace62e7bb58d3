//! Which of several globs a name comes from. To Rust they are equal; to a cell the prepared names and those of earlier
//! cells are what the standard prelude is to a program, so its own globs stand before them.

use std::collections::BTreeMap;

use super::diagnostics::{CellSource, Diagnostic};
use super::parse::{ItemKind, ItemPart};

/// Names that several globs bring, with the path of the one of the cell that counts; none if what was there before does.
pub type Ranked = BTreeMap<String, Option<String>>;

/// The names of which the compiler says so, in the file of a cell with these items.
pub fn ranked(diagnostics: &[Diagnostic], cell: &CellSource, items: &[ItemPart]) -> Ranked {
    let mut ranked = Ranked::new();
    for diagnostic in diagnostics {
        let Some(name) = diagnostic.ambiguous() else {
            continue;
        };
        let places = diagnostic.all_places(cell);
        let globs = items.iter().flat_map(|item| match &item.kind {
            ItemKind::Use(globs) => globs.as_slice(),
            _ => &[],
        });
        let mut own = globs.filter(|glob| places.iter().any(|place| place.end == glob.end));
        // Two of its own are the person's to tell apart.
        match (own.next(), own.next()) {
            (Some(glob), None) => _ = ranked.insert(name, Some(glob.path.clone())),
            (None, _) if diagnostic.is_in(&cell.file) => _ = ranked.entry(name).or_insert(None),
            _ => {}
        }
    }
    ranked
}

/// Adds names; false if all were there.
pub fn extend(ranked: &mut Ranked, more: Ranked) -> bool {
    let before = ranked.len();
    for (name, glob) in more {
        ranked.entry(name).or_insert(glob);
    }
    ranked.len() > before
}

/// Imports by name, which stand before those by globs. `before` is the path of what was there before the cell.
pub fn imports(ranked: &Ranked, before: &str) -> String {
    let lines = ranked.iter().map(|(name, glob)| {
        let path = glob.as_deref().unwrap_or(before);
        format!(" pub use {path}::{name};")
    });
    lines.collect()
}
