//! What lives from cell to cell: variables, crates of items, and why a name is gone. Compiles cells against them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use super::compile::{CompileError, Compiled, Job, Toolchain};
use super::diagnostics::{CellSource, Diagnostic};
use super::failure;
use super::generate::{Surroundings, Variable, generate, unparsed};
use super::parse::{Parsed, SyntaxError};
use super::repair::repair;
use super::source::Mark;
use super::types::{kept_types, mentions};
use crate::engine::Failure;

/// Compiling again with other lines of our own; more would only try the person's patience.
const MOST_ATTEMPTS: usize = 5;

#[derive(Debug, Default)]
pub struct Notebook {
    pub variables: BTreeMap<String, Variable>,
    /// Why a variable that once was is no more.
    pub gone: HashMap<String, String>,
    /// Cells with items, oldest first.
    crates: Vec<ItemCrate>,
    /// All cells by generated file, for the places of panics.
    pub sources: HashMap<String, CellSource>,
    compiled: u32,
}

#[derive(Debug)]
struct ItemCrate {
    name: String,
    library: PathBuf,
    items: Items,
}

/// What tells whether a cell that is run again defines anything new.
#[derive(Debug)]
struct Items {
    texts: Vec<String>,
    words: HashSet<String>,
    /// None if a `use path::*` is among them.
    names: Option<HashSet<String>>,
}

impl Items {
    fn of(code: &str, parsed: &Parsed) -> Self {
        let items = &parsed.items;
        Self {
            texts: items
                .iter()
                .map(|item| code[item.part.range.clone()].to_owned())
                .collect(),
            words: items.iter().flat_map(|item| item.words.clone()).collect(),
            names: items
                .iter()
                .map(|item| item.names.clone())
                .collect::<Option<Vec<_>>>()
                .map(|names| names.into_iter().flatten().collect()),
        }
    }
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
    declares: BTreeMap<String, Variable>,
    /// Variables that it declares or moves and that will not be there for the next cell, and why.
    loses: HashMap<String, String>,
    name: String,
    /// None if it defines nothing new.
    items: Option<Items>,
    /// Rendered, for stderr.
    pub warnings: Vec<String>,
}

impl Runnable {
    /// The type of a variable that it declares, or why that has none.
    pub fn declared(&self, name: &str) -> Result<&str, &str> {
        let variable = self.declares.get(name).map(|variable| &*variable.r#type);
        variable.ok_or_else(|| self.loses.get(name).map_or("", |reason| reason))
    }

    /// Variables that are no more once it runs, with the type that it defines again.
    pub fn drops(&self) -> impl Iterator<Item = (&String, &String)> {
        let declared = |name: &String| self.declares.contains_key(name);
        self.outdated
            .iter()
            .filter(move |(name, _)| !declared(name))
    }
}

impl Notebook {
    /// Compiles a cell; nothing of the notebook changes until it has run.
    pub async fn compile(
        &mut self,
        toolchain: &Toolchain,
        title: &str,
        code: &str,
        mut parsed: Parsed,
    ) -> Result<Runnable, Failure> {
        if self.defines_again(&Items::of(code, &parsed)) {
            parsed.items.clear();
        }
        let parsed = &parsed;
        self.compiled += 1;
        let name = format!("cell_{}", self.compiled);
        let outdated = self.outdated(parsed);
        let mut lost: HashMap<Mark, String> = HashMap::new();
        for _ in 0..MOST_ATTEMPTS {
            let without: HashSet<Mark> = lost.keys().cloned().collect();
            let cell = self.generate(&name, title, code, parsed, &outdated, &without);
            let job = Job {
                name: &name,
                source: cell.source.text(),
                crates: &self.crate_names(),
                has_items: !parsed.items.is_empty(),
                has_bindings: !parsed.bindings.is_empty(),
            };
            let diagnostics = match toolchain.compile(&job).await {
                Ok(compiled) => {
                    let runnable = self.runnable(&cell, name, parsed, compiled, lost, outdated);
                    self.sources.insert(cell.file.clone(), cell);
                    return Ok(runnable);
                }
                Err(CompileError::Tool(reason)) => return Err(failure::tool(&reason)),
                Err(CompileError::Crash(reason)) => {
                    return Err(failure::syntax_error(title, &reason));
                }
                Err(CompileError::Diagnostics(diagnostics)) => diagnostics,
            };
            let repairs = repair(&diagnostics, &cell);
            if repairs.keys().all(|mark| lost.contains_key(mark)) {
                return Err(self.compile_failure(&cell, &diagnostics, &outdated, &lost));
            }
            lost.extend(repairs);
        }
        Err(failure::tool(
            "the cell does not compile with any way to keep its variables",
        ))
    }

    /// The compiler's words on a cell that the parser refused.
    pub async fn explain(
        &mut self,
        toolchain: &Toolchain,
        title: &str,
        code: &str,
        error: &SyntaxError,
    ) -> Failure {
        self.compiled += 1;
        let name = format!("cell_{}", self.compiled);
        let cell = CellSource {
            title: title.to_owned(),
            file: format!("{name}.rs"),
            code: code.to_owned(),
            source: unparsed(code, error.balanced),
        };
        let job = Job {
            name: &name,
            source: cell.source.text(),
            crates: &[],
            has_items: false,
            has_bindings: false,
        };
        match toolchain.compile(&job).await {
            Err(CompileError::Diagnostics(diagnostics)) => {
                failure::compile_error(&cell, &diagnostics, |_| None)
            }
            _ => failure::syntax_error(title, &error.message),
        }
    }

    /// Takes note of what a cell that was loaded did; `alive` are the variables that the worker holds now.
    pub fn ran(&mut self, cell: Runnable, ok: bool, alive: &[String]) {
        for (name, outdated) in &cell.outdated {
            let reason = format!("its type `{outdated}` was defined again in {}", cell.title);
            self.gone.insert(name.clone(), reason);
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
        if let Some(items) = cell.items {
            self.crates.push(ItemCrate {
                name: cell.name,
                library: cell.library,
                items,
            });
        }
    }

    /// Takes note that the worker and all variables are gone; gives their names.
    pub fn lost_all(&mut self, reason: &str) -> Vec<String> {
        let names: Vec<String> = std::mem::take(&mut self.variables).into_keys().collect();
        for name in &names {
            self.gone.insert(name.clone(), reason.to_owned());
        }
        names
    }

    /// Forgets variables and items; the names of cells go on.
    pub fn clear(&mut self) {
        *self = Self {
            compiled: self.compiled,
            ..Self::default()
        };
    }

    /// Libraries of items, which a new worker must load before the next cell.
    pub fn libraries(&self) -> impl Iterator<Item = &PathBuf> {
        self.crates.iter().map(|item_crate| &item_crate.library)
    }

    /// Whether these items, word for word, are those that later cells see already: a cell that is run again then
    /// leaves the values of its types as they are.
    fn defines_again(&self, items: &Items) -> bool {
        for earlier in self.crates.iter().rev() {
            if earlier.items.texts == items.texts {
                return true;
            }
            match &earlier.items.names {
                Some(names) if names.is_disjoint(&items.words) => {}
                _ => return false,
            }
        }
        false
    }

    fn crate_names(&self) -> Vec<String> {
        self.crates
            .iter()
            .map(|item_crate| item_crate.name.clone())
            .collect()
    }

    fn outdated(&self, parsed: &Parsed) -> BTreeMap<String, String> {
        let defined: Vec<&String> = parsed
            .items
            .iter()
            .filter_map(|item| item.defines.as_ref())
            .collect();
        let outdated = |variable: &Variable| {
            let name = defined
                .iter()
                .find(|name| mentions(&variable.r#type, name))?;
            Some((*name).clone())
        };
        self.variables
            .iter()
            .filter_map(|(name, variable)| Some((name.clone(), outdated(variable)?)))
            .collect()
    }

    fn generate(
        &self,
        name: &str,
        title: &str,
        code: &str,
        parsed: &Parsed,
        outdated: &BTreeMap<String, String>,
        without: &HashSet<Mark>,
    ) -> CellSource {
        let mentioned = |variable: &str| {
            parsed.words.contains(variable)
                && !outdated.contains_key(variable)
                && !without.contains(&Mark::Take(variable.to_owned()))
        };
        let around = Surroundings {
            name,
            earlier: &self.crates.last().map_or_else(
                || "::carrel_prelude::prelude".to_owned(),
                |last| format!("::{}", last.name),
            ),
            variables: self
                .variables
                .iter()
                .filter(|(variable, _)| mentioned(variable))
                .map(|(variable, kind)| (variable.as_str(), kind))
                .collect(),
            without,
        };
        CellSource {
            title: title.to_owned(),
            file: format!("{name}.rs"),
            code: code.to_owned(),
            source: generate(code, parsed, &around),
        }
    }

    fn runnable(
        &self,
        cell: &CellSource,
        name: String,
        parsed: &Parsed,
        compiled: Compiled,
        lost: HashMap<Mark, String>,
        outdated: BTreeMap<String, String>,
    ) -> Runnable {
        let types = kept_types(&compiled.mir, &name);
        let mut loses: HashMap<String, String> = HashMap::new();
        for (mark, reason) in &lost {
            loses.insert(mark.name().to_owned(), reason.clone());
        }
        let mut declares = BTreeMap::new();
        for (number, binding) in parsed.bindings.iter().enumerate() {
            if lost.contains_key(&Mark::Keep(binding.name.clone())) {
                continue;
            }
            match types.get(&number) {
                Some(r#type) => {
                    let variable = Variable {
                        r#type: r#type.clone(),
                        mutable: binding.mutable,
                    };
                    loses.remove(&binding.name);
                    declares.insert(binding.name.clone(), variable);
                }
                None => {
                    let reason = "its type has no name that a later cell could write, such as that of a closure";
                    loses.insert(binding.name.clone(), reason.to_owned());
                }
            }
        }
        Runnable {
            title: cell.title.clone(),
            library: compiled.library,
            entry: parsed.has_statements().then(|| name.clone()),
            outdated,
            declares,
            loses,
            name,
            items: (!parsed.items.is_empty()).then(|| Items::of(&cell.code, parsed)),
            warnings: compiled
                .warnings
                .iter()
                .filter(|warning| cell.place(warning).is_some())
                .map(|warning| cell.render(warning, &[]))
                .collect(),
        }
    }

    fn compile_failure(
        &self,
        cell: &CellSource,
        diagnostics: &[Diagnostic],
        outdated: &BTreeMap<String, String>,
        lost: &HashMap<Mark, String>,
    ) -> Failure {
        let why_gone = |name: &str| {
            if let Some(r#type) = outdated.get(name) {
                return Some(format!("this cell defines its type `{type}` again"));
            }
            let taken = lost.get(&Mark::Take(name.to_owned()));
            taken.or_else(|| self.gone.get(name)).cloned()
        };
        failure::compile_error(cell, diagnostics, why_gone)
    }
}
