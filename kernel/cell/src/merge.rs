//! Compiles the items of earlier cells again in the crate of a new one, whose `impl` must be in the crate of its type
//! or trait. Each earlier cell becomes a module that sees its predecessor's names, so that every name in it means what
//! it meant before, and its types, being of the same text, have the same layout as before, unless the `impl` changes
//! what they are made with.

use std::collections::HashSet;

use super::diagnostics::{CellSource, Diagnostic};
use super::generate::piece;
use super::items::{self, ItemCell, Items, by_name};
use super::parse::{ItemKind, ItemPart, MacroItem, OF_STD, Parsed};
use super::rank;
use super::source::Source;
use super::type_text::TypeText;

mod give_way;
mod layout;
mod roots;

use self::give_way::give_way;

/// Earlier cells on their way into a new crate.
#[derive(Debug, Clone)]
pub struct Merge {
    /// Index of the first among all cells with items.
    pub first: usize,
    /// The path of what was there before them, and imports of it.
    path_before: String,
    before: String,
    /// Names of the standard library's macros that it has.
    std_before: HashSet<String>,
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
    /// Values of their types are perhaps none of the types compiled again.
    pub changes_types: bool,
}

impl Merge {
    /// All cells from index `first` on.
    pub fn new(items: &Items, first: usize, parsed: &Parsed) -> Self {
        let mut cells = items.cells[first..].to_vec();
        let changes_types = layout::may_change(&cells, &parsed.items, &items.cells);
        give_way(&mut cells, &parsed.items);
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
            path_before: items.path(first),
            std_before: items::defined(&items.cells[..first])
                .filter(|name| OF_STD.contains(&name.as_str()))
                .cloned()
                .collect(),
            before: items.imports(first, true, &items.cells[first].items),
            defined: defined(&cells),
            cells,
            macros_of_new,
            changes_types,
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
    pub fn declarations(&self, name: &str, own: &[ItemPart]) -> (String, String) {
        // The types of variables are named as other crates name them.
        let mut declarations = format!("extern crate self as {name};\n");
        for cell in &self.cells {
            let (file, module) = (file(cell, name), cell.module());
            declarations.push_str(&format!("#[path = \"{file}\"] pub mod {module};\n"));
        }
        declarations.push_str(&self.macro_crates);
        let mut imports = match self.cells.last() {
            Some(last) => {
                let path = format!("self::{}", last.module());
                // The root has the macros of these cells themselves.
                let macros = self.cells.iter().flat_map(|cell| &cell.items);
                let macros: HashSet<&String> = macros.filter_map(macro_name).collect();
                let defined = self.defined(self.cells.len());
                let defined = defined.filter(|name| !macros.contains(name));
                format!("pub use {path}::*;{}", by_name(defined, &path, own))
            }
            None => self.before.clone(),
        };
        imports.extend(self.private.last().map(String::as_str));
        (declarations, imports)
    }

    /// The source of each module.
    pub fn modules(&self, name: &str) -> Vec<CellSource> {
        let module = |(index, cell): (usize, &ItemCell)| {
            let path = self.path_before(index);
            let mut before = match index {
                0 => self.before.clone(),
                _ => {
                    let by_name = by_name(self.defined(index), &path, &cell.items);
                    format!("pub use {path}::*;{by_name}")
                }
            };
            before.push_str(&rank::imports(&cell.ranked, &path));
            // The first has its own among the others.
            let private = self.private.get(index).filter(|_| index > 0);
            before.extend(private.map(String::as_str));
            CellSource {
                title: cell.title.clone(),
                file: file(cell, name),
                code: cell.code.clone(),
                source: self.module(index, cell, &before, name),
            }
        };
        self.cells.iter().enumerate().map(module).collect()
    }

    /// Names that its first cells define, and macros before them.
    fn defined(&self, count: usize) -> impl Iterator<Item = &String> {
        let own = items::defined(&self.cells[..count]);
        own.chain(&self.std_before)
    }

    /// The path, in a module, of what its cell sees of earlier ones.
    fn path_before(&self, index: usize) -> String {
        match index.checked_sub(1) {
            Some(before) => format!("super::{}", self.cells[before].module()),
            None => self.path_before.clone(),
        }
    }

    /// The path, in the root of the crate, of all earlier cells.
    pub fn path(&self) -> String {
        match self.cells.last() {
            Some(last) => format!("self::{}", last.module()),
            None => self.path_before.clone(),
        }
    }

    /// Takes note of what several globs bring to its modules; false if that is nothing new.
    pub fn rank(&mut self, diagnostics: &[Diagnostic], modules: &[CellSource]) -> bool {
        let mut any_new = false;
        for (cell, module) in self.cells.iter_mut().zip(modules) {
            let ranked = rank::ranked(diagnostics, module, &cell.items);
            any_new |= rank::extend(&mut cell.ranked, ranked);
        }
        any_new
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
    pub fn renamed(&self, r#type: &TypeText, name: &str) -> Option<TypeText> {
        let merged = |cell: &str| self.cells.iter().any(|other| other.name == cell);
        r#type.renamed(merged, name)
    }

    fn module(&self, index: usize, cell: &ItemCell, before: &str, name: &str) -> Source {
        let mut source = Source::default();
        source.line(before);
        for item in &cell.items {
            // Code that is loaded already has the symbols.
            let mut part = item.with_own_symbols(&format!("{}_{name}", cell.name), |_| true);
            roots::keep(&mut part, &cell.code, &cell.module());
            match &item.kind {
                ItemKind::Static(name, _) if self.stays(item) => {
                    source.line(&format!("pub use {}::{name};", cell.path()));
                }
                ItemKind::Macro(MacroItem { name, place, .. }) => {
                    // Exported macros share the root of their crate; the newest has its own name there.
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
                    piece(&mut source, &cell.code, &part);
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

fn macro_name(item: &ItemPart) -> Option<&String> {
    match &item.kind {
        ItemKind::Macro(item) => Some(&item.name),
        _ => None,
    }
}

fn defined(cells: &[ItemCell]) -> HashSet<String> {
    let mut defined = HashSet::new();
    for item in cells.iter().flat_map(|cell| &cell.items) {
        let imports = matches!(item.kind, ItemKind::Use(_));
        // What comes from elsewhere is not defined here.
        if !imports || !item.words.is_disjoint(&defined) {
            defined.extend(item.names.iter().flatten().cloned());
        }
    }
    defined
}
