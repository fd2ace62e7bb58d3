//! The source of an attempt: which imports, variables and lines of our own it has.

use std::collections::{BTreeMap, HashSet};

use carrel_cell::diagnostics::CellSource;
use carrel_cell::generate::{Surroundings, Variable, generate};
use carrel_cell::rank;
use carrel_cell::source::Mark;

use super::{Attempt, Task};
use crate::rust_engine::compiler::repair::BORROWS;
use crate::rust_engine::notebook::Notebook;

impl Attempt {
    /// Variables that borrow from others and are not kept.
    fn borrowers(&self) -> HashSet<&str> {
        let borrows =
            |(mark, reason): &(&Mark, &String)| matches!(mark, Mark::Keep(_)) && *reason == BORROWS;
        let borrowers = self.lost.iter().filter(borrows);
        borrowers.map(|(mark, _)| mark.name()).collect()
    }

    fn has_lost(&self, variable: &str) -> bool {
        let marks = [
            Mark::Take(variable.to_owned()),
            Mark::Carry(variable.to_owned()),
        ];
        marks.iter().any(|mark| self.lost.contains_key(mark))
    }
}

impl Notebook {
    pub(super) fn source(&self, task: &Task<'_>, attempt: &Attempt) -> CellSource {
        let Task { name, parsed, .. } = task;
        let without: HashSet<Mark> = attempt.lost.keys().cloned().collect();
        let (modules, imports) = self.declarations(task, attempt);
        let attributes: String = self
            .attributes
            .iter()
            .map(|attribute| format!("{attribute}\n"))
            .collect();
        let around = Surroundings {
            name,
            attributes: &attributes,
            imports: &imports,
            modules: &modules,
            carries: &attempt.carries,
            variables: self.taken(task, attempt),
            without: &without,
            borrowers: &attempt.borrowers(),
            symbols: &self.items.symbols,
            boxes: &attempt.boxes,
            awaits: attempt.awaits,
            evcxr: task.evcxr,
            debug_errors: attempt.debug_errors,
            debug_value: attempt.debug_value.is_some(),
            tokio: parsed.words.contains("tokio") || self.items.mention("tokio"),
        };
        CellSource {
            title: task.title.to_owned(),
            file: format!("{name}.rs"),
            code: task.code.to_owned(),
            source: generate(task.code, parsed, &around),
        }
    }

    /// Lines for the root of the crate, and imports of what the cell sees.
    fn declarations(&self, task: &Task<'_>, attempt: &Attempt) -> (String, String) {
        let own = &task.parsed.items;
        let (modules, mut imports, before) = match &attempt.merge {
            Some(merge) => {
                let (modules, imports) = merge.declarations(&task.name, own);
                (modules, imports, merge.path())
            }
            None => {
                let count = match attempt.items {
                    true => self.items.cells.len(),
                    false => 0,
                };
                let imports = self.items.imports(count, attempt.prelude, own);
                let crates = self.items.macro_crates(count, own);
                (crates, imports, self.items.path(count))
            }
        };
        imports.push_str(&rank::imports(&attempt.ranked, &before));
        (modules, imports)
    }

    /// The variables that it mentions and that are there.
    fn taken(&self, task: &Task<'_>, attempt: &Attempt) -> BTreeMap<&str, Variable> {
        let is_taken = |name: &String| {
            task.parsed.words.contains(name)
                && !task.outdated.contains_key(name)
                && !attempt.has_lost(name)
        };
        let variables = self.variables.iter().filter(|(name, _)| is_taken(name));
        variables
            .map(|(name, variable)| {
                let mut variable = variable.clone();
                if let Some(r#type) = attempt.carries.get(name) {
                    variable.r#type.clone_from(r#type);
                }
                (name.as_str(), variable)
            })
            .collect()
    }
}
