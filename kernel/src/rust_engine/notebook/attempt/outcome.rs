//! What an attempt gave: a cell that is ready to run with what it does to variables, or the errors of the person.

use std::collections::{BTreeMap, HashMap};

use carrel_cell::diagnostics::{CellSource, Cells, Diagnostic};
use carrel_cell::generate::Variable;
use carrel_cell::items::ItemCell;
use carrel_cell::merge::Merge;
use carrel_cell::source::Mark;
use carrel_cell::types::{Kept, is_variable};

use super::{Attempt, Task};
use crate::engine::Failure;
use crate::rust_engine::compiler::compile::Compiled;
use crate::rust_engine::compiler::repair::NO_NAME;
use crate::rust_engine::notebook::failure;
use crate::rust_engine::notebook::{Notebook, Runnable};

impl Notebook {
    pub(super) fn runnable(
        &self,
        task: Task<'_>,
        attempt: Attempt,
        cell: &CellSource,
        compiled: Compiled,
        kept: Kept,
    ) -> Runnable {
        let mut loses: HashMap<String, String> = HashMap::new();
        for (mark, reason) in &attempt.lost {
            if !matches!(mark, Mark::End(_)) {
                loses.insert(mark.name().to_owned(), reason.clone());
            }
        }
        let mut declares = BTreeMap::new();
        for (number, binding) in task.parsed.bindings.iter().enumerate() {
            if binding.maybe_constant && !is_variable(&compiled.mir, &binding.name) {
                loses.remove(&binding.name);
                continue;
            }
            if attempt.lost.contains_key(&Mark::Keep(binding.name.clone())) {
                continue;
            }
            match kept.types.get(&number) {
                Some(r#type) => {
                    let variable = Variable {
                        r#type: r#type.clone(),
                        mutable: binding.mutable,
                    };
                    loses.remove(&binding.name);
                    declares.insert(binding.name.clone(), variable);
                }
                None => {
                    loses.insert(binding.name.clone(), NO_NAME.to_owned());
                }
            }
        }
        let mut warnings = self.warnings(&attempt, cell, &compiled.warnings);
        warnings.extend(task.parsed.bindings.iter().filter_map(|binding| {
            let reason = loses.get(&binding.name)?;
            // What the cell uses itself was perhaps not meant for others.
            let surprises = !binding.used && !binding.name.starts_with('_');
            surprises.then(|| format!("`{}` is not kept: {reason}", binding.name))
        }));
        let linked_fully = task.parsed.links().next().is_some();
        let has_entry = task.parsed.has_statements() || !attempt.carries.is_empty();
        Runnable {
            title: cell.title.clone(),
            library: compiled.library,
            entry: has_entry.then(|| task.name.clone()),
            outdated: task.outdated,
            declares,
            loses,
            warnings,
            linked_fully,
            attributes: task.parsed.lasting_attributes,
            items: (!task.parsed.items.is_empty()).then(|| ItemCell {
                name: task.name.clone(),
                crate_name: task.name.clone(),
                title: cell.title.clone(),
                code: cell.code.clone(),
                items: task.parsed.items,
                externs: Vec::new(),
                prelude: attempt.prelude,
                ranked: attempt.ranked,
                changed: false,
            }),
            name: task.name,
            merge: attempt.merge,
            externs: compiled.externs,
            carries: attempt.carries,
        }
    }

    fn warnings(
        &self,
        attempt: &Attempt,
        cell: &CellSource,
        diagnostics: &[Diagnostic],
    ) -> Vec<String> {
        let cells = self.cells(cell);
        // The person did not write that an import is for others.
        let is_ours = |one: &&Diagnostic| one.code() == "ambiguous_glob_reexports";
        let own = diagnostics
            .iter()
            .filter(|one| cells.is_own(one) && !is_ours(one));
        let statics = attempt.merge.iter().flat_map(Merge::new_statics);
        let anew = statics.map(|name| {
            format!("the static `{name}` starts anew: its type was compiled again with this cell's `impl`")
        });
        own.map(|one| cells.render(one, &[])).chain(anew).collect()
    }

    pub(super) fn cells<'a>(&'a self, cell: &'a CellSource) -> Cells<'a> {
        Cells {
            cell,
            earlier: &self.sources,
        }
    }

    pub(super) fn compile_failure(
        &self,
        task: &Task<'_>,
        attempt: &Attempt,
        cell: &CellSource,
        diagnostics: &[Diagnostic],
    ) -> Failure {
        let why_gone = |name: &str| {
            if let Some(r#type) = task.outdated.get(name) {
                return Some(format!("this cell defines its type `{type}` again"));
            }
            let taken = attempt.lost.get(&Mark::Take(name.to_owned()));
            taken.or_else(|| self.gone.get(name)).cloned()
        };
        failure::compile_error(self.cells(cell), diagnostics, why_gone)
    }
}
