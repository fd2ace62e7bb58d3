//! Compiles the items of earlier cells again in the crate of a new one, whose `impl` must be in the crate of its type
//! or trait. Each earlier cell becomes a module that sees its predecessor's names, so that every name in it means what
//! it meant before, and its types, being of the same text, have the same layout as before.

use std::collections::HashSet;

use super::diagnostics::CellSource;
use super::generate::piece;
use super::items::{ItemCell, Items};
use super::parse::{Impl, ItemKind, ItemPart, MacroItem, Parsed, Part};
use super::source::Source;

/// Earlier cells on their way into a new crate.
#[derive(Debug, Clone)]
pub struct Merge {
    /// Index of the first among all cells with items.
    pub first: usize,
    /// Imports of what was there before them.
    before: String,
    /// Their `#[macro_use] extern crate ..;`, for the root.
    macro_crates: String,
    /// What each of them, and then the new cell, imports for itself.
    private: Vec<String>,
    /// As they were, but for what the new cell implements again.
    cells: Vec<ItemCell>,
    /// Names of what they define.
    defined: HashSet<String>,
    /// Names of macros of the new cell.
    macros_of_new: HashSet<String>,
}

impl Merge {
    /// All cells from index `first` on.
    pub fn new(items: &Items, first: usize, parsed: &Parsed) -> Self {
        let new: Vec<&Impl> = parsed.items.iter().filter_map(implementation).collect();
        let mut cells = items.cells[first..].to_vec();
        cells.iter_mut().for_each(|cell| give_way(cell, &new));
        let macros_of_new = parsed
            .items
            .iter()
            .filter_map(macro_name)
            .cloned()
            .collect();
        Self {
            first,
            macro_crates: items.macro_crates(items.cells.len(), &parsed.items),
            private: private(items, first, &parsed.items),
            before: items.imports(first, true, &items.cells[first].items),
            defined: defined(&cells),
            cells,
            macros_of_new,
        }
    }

    /// The cells as they are once the new crate, `name`, is loaded, which was compiled with these crates.
    pub fn into_cells(self, name: &str, externs: &[String]) -> Vec<ItemCell> {
        let mut cells = self.cells;
        for cell in &mut cells {
            name.clone_into(&mut cell.crate_name);
            cell.prelude = true;
            cell.set_externs(externs);
        }
        cells
    }

    /// Whether all crates that the cells name are those that they were compiled with before: with another version of
    /// one, the same text may mean another layout.
    pub fn has_same_crates(&self, externs: &[String]) -> bool {
        let mut before = self.cells.iter().flat_map(|cell| &cell.externs);
        before.all(|one| externs.contains(one))
    }

    /// Lines for the root of the new crate, `name`, and imports of what is seen there.
    pub fn declarations(&self, name: &str) -> (String, String) {
        // The types of variables are named as other crates name them.
        let mut declarations = format!("extern crate self as {name};\n");
        for cell in &self.cells {
            let (file, module) = (file(cell, name), cell.module());
            declarations.push_str(&format!("#[path = \"{file}\"] pub mod {module};\n"));
        }
        declarations.push_str(&self.macro_crates);
        let mut imports = match self.cells.last() {
            Some(last) => format!("pub use self::{}::*;", last.module()),
            None => self.before.clone(),
        };
        imports.extend(self.private.last().map(String::as_str));
        (declarations, imports)
    }

    /// The source of each module.
    pub fn modules(&self, name: &str) -> Vec<CellSource> {
        let module = |(index, cell): (usize, &ItemCell)| {
            let mut before = match index.checked_sub(1) {
                Some(before) => format!("pub use super::{}::*;", self.cells[before].module()),
                None => self.before.clone(),
            };
            // The first has its own among the others.
            let private = self.private.get(index).filter(|_| index > 0);
            before.extend(private.map(String::as_str));
            CellSource {
                title: cell.title.clone(),
                file: file(cell, name),
                code: cell.code.clone(),
                source: self.module(index, cell, &before),
            }
        };
        self.cells.iter().enumerate().map(module).collect()
    }

    /// Statics that start anew, because a type of theirs is compiled again; the others stay what they are.
    pub fn new_statics(&self) -> impl Iterator<Item = &String> {
        let items = self.cells.iter().flat_map(|cell| &cell.items);
        items.filter_map(|item| match &item.kind {
            ItemKind::Static(name, _) if !self.stays(item) => Some(name),
            _ => None,
        })
    }

    /// The type of a variable as it is named with the new crate; none if nothing changes.
    pub fn renamed(&self, r#type: &str, name: &str) -> Option<String> {
        let merged = |cell: &str| self.cells.iter().any(|other| other.name == cell);
        let words: Vec<&str> = r#type.split(' ').collect();
        let mut renamed = Vec::new();
        for (index, word) in words.iter().enumerate() {
            // Such as `(cell_3` in a tuple.
            let crate_name = word.trim_start_matches(['(', '[']);
            let bracket = &word[..word.len() - crate_name.len()];
            let module = words
                .get(index + 2)
                .and_then(|word| word.strip_prefix("in_"));
            renamed.push(match module.filter(|module| module.starts_with("cell_")) {
                Some(module) if merged(module) => format!("{bracket}{name}"),
                // The root of a crate is the module of the cell that it was made for.
                None if merged(crate_name) => format!("{bracket}{name} :: in_{crate_name}"),
                _ => (*word).to_owned(),
            });
        }
        let renamed = renamed.join(" ");
        (renamed != r#type).then_some(renamed)
    }

    fn module(&self, index: usize, cell: &ItemCell, before: &str) -> Source {
        let mut source = Source::default();
        source.line(before);
        for item in &cell.items {
            match &item.kind {
                ItemKind::Static(name, _) if self.stays(item) => {
                    source.line(&format!("pub use {}::{name};", cell.path()));
                }
                ItemKind::Macro(MacroItem { name, place, .. }) => {
                    // Exported macros share the root of their crate; the newest has its own name there.
                    let mut part = item.part.clone();
                    let mut exported = name.clone();
                    if self.is_shadowed(index, name) {
                        exported = format!("{name}_{}", cell.name);
                        part.edits.push((place.clone(), exported.clone().into()));
                    }
                    piece(&mut source, &cell.code, &part);
                    source.line("");
                    source.line(&format!("pub use crate::{exported} as {name};"));
                }
                ItemKind::ExternCrate(found) if found.macros => {}
                _ => {
                    piece(&mut source, &cell.code, &item.part);
                    source.line("");
                }
            }
        }
        source
    }

    fn is_shadowed(&self, index: usize, name: &String) -> bool {
        let later = self.cells.iter().skip(index + 1);
        let mut macros = later.flat_map(|cell| cell.items.iter().filter_map(macro_name));
        self.macros_of_new.contains(name) || macros.any(|other| other == name)
    }

    fn stays(&self, item: &ItemPart) -> bool {
        matches!(&item.kind, ItemKind::Static(_, words) if words.is_disjoint(&self.defined))
    }
}

fn private(items: &Items, first: usize, new: &[ItemPart]) -> Vec<String> {
    let cells = items.cells.iter().enumerate().skip(first);
    let own = cells.map(|(index, cell)| (index, &*cell.items));
    own.chain([(items.cells.len(), new)])
        .map(|(index, own)| items.private(index, own))
        .collect()
}

fn file(cell: &ItemCell, crate_name: &str) -> String {
    format!("{crate_name}.{}.rs", cell.name)
}

fn implementation(item: &ItemPart) -> Option<&Impl> {
    match &item.kind {
        ItemKind::Impl(r#impl) => Some(r#impl),
        _ => None,
    }
}

fn macro_name(item: &ItemPart) -> Option<&String> {
    match &item.kind {
        ItemKind::Macro(item) => Some(&item.name),
        _ => None,
    }
}

fn defined(cells: &[ItemCell]) -> HashSet<String> {
    let mut defined = HashSet::new();
    for item in cells.iter().flat_map(|cell| &cell.items) {
        let imports = matches!(item.kind, ItemKind::Use);
        // What comes from elsewhere is not defined here.
        if !imports || !item.words.is_disjoint(&defined) {
            defined.extend(item.names.iter().flatten().cloned());
        }
    }
    defined
}

/// Takes out of a cell what `new` implements again: a cell with an `impl` that is changed and run again means that.
fn give_way(cell: &mut ItemCell, new: &[&Impl]) {
    let before = cell.items.len();
    cell.items.retain_mut(|item| {
        let ItemKind::Impl(old) = &mut item.kind else {
            return true;
        };
        for new in new.iter().filter(|new| new.header == old.header) {
            if old.of_trait {
                return false;
            }
            let again = |name: &String| new.members.iter().any(|(other, _)| other == name);
            let (gone, kept): (Vec<_>, Vec<_>) =
                old.members.drain(..).partition(|(name, _)| again(name));
            old.members = kept;
            for (_, place) in gone {
                cell.changed = true;
                remove(&mut item.part, place);
            }
            if old.members.is_empty() {
                return false;
            }
        }
        true
    });
    cell.changed |= cell.items.len() != before;
}

fn remove(part: &mut Part, place: std::ops::Range<usize>) {
    part.edits
        .retain(|(edit, _)| edit.start < place.start || place.end <= edit.start);
    part.edits.push((place, "".into()));
    part.edits.sort_by_key(|(edit, _)| edit.start);
}
