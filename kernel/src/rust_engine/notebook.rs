//! What lives from cell to cell: variables, items, and why a name is gone.

mod attempt;
pub mod commands;
pub mod failure;
mod seen;
pub mod session;
mod sight;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use carrel_cell::diagnostics::Sources;
use carrel_cell::generate::Variable;
use carrel_cell::items::{ItemCell, ItemCrate, Items};
use carrel_cell::merge::Merge;
use carrel_cell::type_text::TypeText;
use carrel_protocol::Request;

#[derive(Debug, Default)]
pub struct Notebook {
    pub variables: BTreeMap<String, Variable>,
    /// Why a variable that once was is no more.
    pub gone: HashMap<String, String>,
    pub items: Items,
    /// Words that cells named things of the prepared crates by.
    pub prelude_names: HashSet<String>,
    /// All cells by generated file, for the places of panics.
    pub sources: Sources,
    pub compiled: u32,
    /// Codes of the errors of the last cell that the compiler refused.
    pub last_errors: Vec<String>,
    /// Of cells that ran: `#![..]` that later cells have too.
    pub attributes: Vec<String>,
}

/// A cell that is ready to run.
#[derive(Debug)]
pub struct Runnable {
    pub title: String,
    pub library: PathBuf,
    pub entry: Option<String>,
    /// Variables whose type the cell defines again, with that type.
    pub outdated: BTreeMap<String, String>,
    /// Variables that it declares, unless it fails.
    pub declares: BTreeMap<String, Variable>,
    /// Variables that it declares or moves and that will not be there for the next cell, and why.
    pub loses: HashMap<String, String>,
    pub name: String,
    pub attributes: Vec<String>,
    /// None if it defines nothing new.
    pub items: Option<ItemCell>,
    /// Earlier cells that are compiled again with it, and the types that variables get by that.
    pub merge: Option<Merge>,
    pub carries: BTreeMap<String, TypeText>,
    /// The crates that it could name, as `name=file`.
    pub externs: Vec<String>,
    /// By the C compiler, with native libraries.
    pub linked_fully: bool,
    /// Rendered, for stderr.
    pub warnings: Vec<String>,
}

impl Runnable {
    /// Name of its generated file.
    pub fn file(&self) -> String {
        format!("{}.rs", self.name)
    }

    /// To the worker.
    pub fn request(&self, cell: u64) -> Request {
        Request::Run {
            cell,
            library: self.library.to_string_lossy().into_owned(),
            entry: self.entry.clone(),
            drop_variables: self.drops().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// The type of a variable that it declares, or why that has none.
    pub fn declared(&self, name: &str) -> Result<&TypeText, &str> {
        let variable = self.declares.get(name).map(|variable| &variable.r#type);
        variable.ok_or_else(|| self.loses.get(name).map_or("", |reason| reason))
    }

    /// Variables that are no more once it runs, and why.
    pub fn drops(&self) -> impl Iterator<Item = (&String, String)> {
        let outdated = self.outdated.iter().map(|(name, r#type)| {
            let reason = format!("its type `{type}` is defined again in this cell");
            (name, reason)
        });
        let not_carried = self.carries.keys().filter_map(|name| {
            let reason = self.loses.get(name)?;
            Some((name, reason.clone()))
        });
        outdated.chain(not_carried)
    }
}

impl Notebook {
    /// Whether the name means a variable or an item of the notebook.
    pub fn knows(&self, name: &str) -> bool {
        let items = self.items.cells.iter().flat_map(|cell| &cell.items);
        let mut names = items.filter_map(|item| item.names.as_ref()).flatten();
        self.variables.contains_key(name) || names.any(|known| known == name)
    }

    /// Takes note of what a cell that was loaded did; `alive` are the variables that the worker holds now.
    pub fn ran(&mut self, cell: Runnable, ok: bool, alive: &[String]) {
        for (name, outdated) in &cell.outdated {
            let reason = format!("its type `{outdated}` was defined again in {}", cell.title);
            self.gone.insert(name.clone(), reason);
        }
        for (name, r#type) in cell.carries {
            if let Some(variable) = self.variables.get_mut(&name) {
                variable.r#type = r#type;
            }
        }
        let declared: HashSet<String> = cell.declares.keys().cloned().collect();
        if ok {
            self.variables.extend(cell.declares);
        }
        let all: Vec<String> = self.variables.keys().cloned().collect();
        for name in all.into_iter().filter(|name| !alive.contains(name)) {
            self.variables.remove(&name);
            let moved = || format!("it was moved in {}", cell.title);
            self.gone.entry(name).or_insert_with(moved);
        }
        for (name, reason) in cell.loses {
            if !self.variables.contains_key(&name) || (ok && !declared.contains(&name)) {
                self.variables.remove(&name);
                self.gone.insert(name, reason);
            }
        }
        self.gone
            .retain(|name, _| !self.variables.contains_key(name));
        for attribute in cell.attributes {
            if !self.attributes.contains(&attribute) {
                self.attributes.push(attribute);
            }
        }
        let Some(mut items) = cell.items else {
            return;
        };
        if let Some(merge) = cell.merge {
            let first = merge.first;
            let merged = merge.into_cells(&cell.name, &cell.externs);
            self.items.cells.splice(first.., merged);
        }
        items.set_externs(&cell.externs);
        let symbols = items.items.iter().flat_map(|item| &item.symbols);
        let symbols = symbols.map(|symbol| symbol.name.clone());
        self.items.symbols.extend(symbols);
        self.items.cells.push(items);
        self.items.crates.push(ItemCrate {
            name: cell.name,
            library: cell.library,
        });
    }

    /// Takes note that the worker and all variables are gone; gives their names.
    pub fn lost_all(&mut self, reason: &str) -> Vec<String> {
        let names: Vec<String> = std::mem::take(&mut self.variables).into_keys().collect();
        for name in &names {
            self.gone.insert(name.clone(), reason.to_owned());
        }
        names
    }

    /// Takes note that these names mean other crates from now on: the variables of their types are no more. Gives them
    /// with the crate.
    pub fn crates_changed(&mut self, names: &[String]) -> BTreeMap<String, String> {
        let mut lost = BTreeMap::new();
        for name in names {
            self.items.crate_changed(name);
            let variables = self.variables.iter();
            let of_crate = variables.filter(|(_, variable)| variable.r#type.is_of_crate(name));
            lost.extend(of_crate.map(|(variable, _)| (variable.clone(), name.clone())));
        }
        for (variable, name) in &lost {
            self.variables.remove(variable);
            let reason = format!("`:dep` changed the crate `{name}` of its type");
            self.gone.insert(variable.clone(), reason);
        }
        lost
    }

    /// Forgets variables and items; the names of cells go on.
    pub fn clear(&mut self) {
        *self = Self {
            compiled: self.compiled,
            ..Self::default()
        };
    }
}
