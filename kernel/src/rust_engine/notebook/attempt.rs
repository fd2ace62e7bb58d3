//! Compiles a cell against what lives in its notebook, and again as the compiler's errors teach how.

use std::collections::{BTreeMap, HashMap};

use carrel_cell::diagnostics::{CellSource, Diagnostic};
use carrel_cell::generate::{Variable, unparsed};
use carrel_cell::merge::Merge;
use carrel_cell::parse::{Parsed, SyntaxError};
use carrel_cell::rank::{Ranked, extend, ranked};
use carrel_cell::source::Mark;
use carrel_cell::type_text::TypeText;
use carrel_cell::types::{Kept, kept};

use super::failure;
use super::{Notebook, Runnable};
use crate::engine::Failure;
use crate::rust_engine::compiler::compile::{CompileError, Compiled, Job, Toolchain};
use crate::rust_engine::compiler::repair::repair;

mod outcome;
mod source;

/// Compiling again in another way; more would only try the person's patience.
const MOST_ATTEMPTS: usize = 7;

/// Errors of an `impl` away from its type and its trait.
const AWAY: [&str; 6] = ["E0116", "E0117", "E0120", "E0210", "E0321", "E0390"];

/// Why no variable is carried into a new crate.
const OTHER_CRATE: &str = "a crate that its type is made with is another one since it was made";
const OTHER_TYPE: &str =
    "its type may be made otherwise since this cell's `impl`, which has another type or constant";

/// A cell to compile.
struct Task<'a> {
    name: String,
    title: &'a str,
    code: &'a str,
    parsed: Parsed,
    /// Variables whose type it defines again, with that type.
    outdated: BTreeMap<String, String>,
    /// Its value may show itself in evcxr's way, being of a crate of `:dep` or of a cell that has a method for that.
    evcxr: bool,
}

/// A way to compile it.
#[derive(Default)]
struct Attempt {
    /// The prepared crates are in sight. The compiler takes longer to read them than for a small cell.
    prelude: bool,
    /// Items of earlier cells are.
    items: bool,
    /// Names that were missed without them.
    missed: Vec<String>,
    /// Our own lines that are wrong, and why.
    lost: HashMap<Mark, String>,
    awaits: bool,
    /// An error of a `?` only has `Debug`.
    debug_errors: bool,
    merge: Option<Merge>,
    /// Types that variables have with the merged cells.
    carries: BTreeMap<String, TypeText>,
    /// Boxes to keep closures in, by number of the variable.
    boxes: HashMap<usize, String>,
    /// Names that several globs bring.
    ranked: Ranked,
    /// The value shows itself by `Debug` alone; with the errors that it had otherwise.
    debug_value: Option<Box<(Vec<Diagnostic>, CellSource)>>,
}

impl Attempt {
    /// Carries no variables into the new crate if a crate that their types are made with is another one now; tells
    /// whether that changed anything.
    fn carries_too_much(&mut self, externs: &[String]) -> bool {
        let same = self
            .merge
            .as_ref()
            .is_none_or(|merge| merge.has_same_crates(externs));
        let before = self.lost.len();
        if !same {
            self.carry_nothing(OTHER_CRATE);
        }
        self.lost.len() > before
    }

    fn carry_nothing(&mut self, reason: &str) {
        let carried = self.carries.keys().cloned().map(Mark::Carry);
        self.lost
            .extend(carried.map(|mark| (mark, reason.to_owned())));
    }

    /// Takes note of what several globs bring; false if that is nothing new.
    fn rank(
        &mut self,
        task: &Task<'_>,
        diagnostics: &[Diagnostic],
        cell: &CellSource,
        modules: &[CellSource],
    ) -> bool {
        let own = ranked(diagnostics, cell, &task.parsed.items);
        let merged = self
            .merge
            .as_mut()
            .is_some_and(|merge| merge.rank(diagnostics, modules));
        extend(&mut self.ranked, own) || merged
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
        if self.items.has_already(code, &parsed) {
            parsed.without_items();
        }
        let evcxr =
            !toolchain.dependencies.named.is_empty() || self.mentions(&parsed, "evcxr_display");
        let shows = evcxr && parsed.value.is_some();
        let items = self.items.concern(&parsed) || shows && self.items.bring_methods();
        let mut attempt = Attempt {
            prelude: self.needs_prelude(&parsed, &toolchain.dependencies, items),
            items,
            awaits: parsed.awaits,
            ..Attempt::default()
        };
        let mut task = Task {
            name: self.next_name(),
            title,
            code,
            outdated: self.outdated(&parsed),
            evcxr,
            parsed,
        };
        for _ in 0..MOST_ATTEMPTS {
            if let Some((cell, compiled, kept)) =
                self.attempt(toolchain, &mut task, &mut attempt).await?
            {
                self.prelude_names.extend(attempt.missed.drain(..));
                let runnable = self.runnable(task, attempt, &cell, compiled, kept);
                self.sources.insert(cell.file.clone(), cell);
                return Ok(runnable);
            }
        }
        Err(failure::syntax_error(
            title,
            "no way was found to keep the variables of this cell: give those whose type has no short name one, or a box",
        ))
    }

    /// Compiles once. None if that taught another way.
    async fn attempt(
        &mut self,
        toolchain: &Toolchain,
        task: &mut Task<'_>,
        attempt: &mut Attempt,
    ) -> Result<Option<(CellSource, Compiled, Kept)>, Failure> {
        let cell = self.source(task, attempt);
        let merge = attempt.merge.as_ref();
        let modules = merge.map(|merge| merge.modules(&task.name));
        let modules = modules.unwrap_or_default();
        let links = task.parsed.links().map(|link| link.library.clone());
        let job = Job {
            name: &task.name,
            source: cell.source.text(),
            modules: &modules,
            crates: &self.items.crate_names(),
            links: &links.collect::<Vec<_>>(),
            has_items: !task.parsed.items.is_empty(),
            has_bindings: !task.parsed.bindings.is_empty(),
        };
        let compiled = toolchain.compile(&job).await;
        let any_ranked = match &compiled {
            Ok(Compiled { warnings: told, .. }) | Err(CompileError::Diagnostics(told)) => {
                attempt.rank(task, told, &cell, &modules)
            }
            Err(_) => false,
        };
        let modules = modules.into_iter();
        self.sources
            .extend(modules.map(|module| (module.file.clone(), module)));
        match compiled {
            _ if any_ranked => Ok(None),
            Ok(compiled) if attempt.carries_too_much(&compiled.externs) => Ok(None),
            Ok(compiled) => {
                let crates = toolchain.crates(&task.parsed);
                let kept = kept(&compiled.mir, &task.name, &crates);
                if !kept.boxes.is_empty() {
                    attempt.boxes = kept.boxes;
                    return Ok(None);
                }
                Ok(Some((cell, compiled, kept)))
            }
            Err(CompileError::Diagnostics(mut diagnostics)) => {
                diagnostics.retain(Diagnostic::is_error);
                self.learn_or_tell(task, attempt, diagnostics, cell)?;
                Ok(None)
            }
            Err(error) => Err(failed(task, &cell, error)),
        }
    }

    /// Changes task and attempt by what the compiler said, or tells it as the person's to change.
    fn learn_or_tell(
        &mut self,
        task: &mut Task<'_>,
        attempt: &mut Attempt,
        diagnostics: Vec<Diagnostic>,
        cell: CellSource,
    ) -> Result<(), Failure> {
        // What a macro makes are no items, which the compiler tells without a code.
        let no_items = diagnostics
            .iter()
            .any(|one| one.code().is_empty() && !one.misses_name());
        if no_items && task.parsed.calls_are_statements() {
            return Ok(());
        }
        let orphans = diagnostics.iter().filter(|one| AWAY.contains(&one.code()));
        let places: Vec<_> = orphans.flat_map(|one| one.places(&cell)).collect();
        task.parsed.calls_are_items(&places);
        if self.learn(task, attempt, &diagnostics, &cell) {
            return Ok(());
        }
        // The compiler says it better of a value that shows itself as others do.
        let (diagnostics, cell) = match attempt.debug_value.take() {
            Some(first) => *first,
            None => (diagnostics, cell),
        };
        self.last_errors = codes(&diagnostics);
        Err(self.compile_failure(task, attempt, &cell, &diagnostics))
    }

    /// The compiler's words on a cell that the parser refused.
    pub async fn explain(
        &mut self,
        toolchain: &Toolchain,
        title: &str,
        code: &str,
        error: &SyntaxError,
    ) -> Failure {
        let name = self.next_name();
        let cell = CellSource {
            title: title.to_owned(),
            file: format!("{name}.rs"),
            code: code.to_owned(),
            source: unparsed(code, error.balanced),
        };
        let job = Job {
            name: &name,
            source: cell.source.text(),
            modules: &[],
            crates: &[],
            links: &[],
            has_items: false,
            has_bindings: false,
        };
        match toolchain.compile(&job).await {
            Err(CompileError::Diagnostics(mut diagnostics)) => {
                diagnostics.retain(Diagnostic::is_error);
                failure::compile_error(self.cells(&cell), &diagnostics, |_| None)
            }
            _ => failure::syntax_error(title, &error.message),
        }
    }

    fn next_name(&mut self) -> String {
        self.compiled += 1;
        format!("cell_{}", self.compiled)
    }

    fn outdated(&self, parsed: &Parsed) -> BTreeMap<String, String> {
        let defined: Vec<&String> = parsed
            .items
            .iter()
            .filter_map(|item| item.defines.as_ref())
            .collect();
        let outdated = |variable: &Variable| {
            let name = defined.iter().find(|name| variable.r#type.mentions(name))?;
            Some((*name).clone())
        };
        self.variables
            .iter()
            .filter_map(|(name, variable)| Some((name.clone(), outdated(variable)?)))
            .collect()
    }

    /// Changes the attempt by what the compiler said. False if that is the person's to change.
    fn learn(
        &self,
        task: &Task<'_>,
        attempt: &mut Attempt,
        diagnostics: &[Diagnostic],
        cell: &CellSource,
    ) -> bool {
        let any = |codes: &[&str]| diagnostics.iter().any(|one| codes.contains(&one.code()));
        let missing: Vec<_> = diagnostics.iter().filter(|one| one.misses_name()).collect();
        let more = !(attempt.prelude && attempt.items);
        if more && (any(&["E0599"]) || !missing.is_empty()) {
            attempt.missed = missing.into_iter().filter_map(Diagnostic::quoted).collect();
            (attempt.prelude, attempt.items) = (true, true);
            return true;
        }
        if !attempt.debug_errors && diagnostics.iter().any(Diagnostic::is_no_cell_error) {
            attempt.debug_errors = true;
            return true;
        }
        // A macro waits, or somebody does in a function that is not `async`.
        if !attempt.awaits && any(&["E0728"]) {
            attempt.awaits = true;
            return true;
        }
        if any(&AWAY)
            && let Some(first) = self.merge_from(task, attempt)
        {
            attempt.merge = Some(Merge::new(&self.items, first, &task.parsed));
            attempt.prelude = true;
            attempt.carries = self.carries(task, attempt);
            if attempt
                .merge
                .as_ref()
                .is_some_and(|merge| merge.changes_types)
            {
                attempt.carry_nothing(OTHER_TYPE);
            }
            return true;
        }
        // A type that is inferred at the end only, as one that is never made.
        let is_open =
            any(&["E0282", "E0283"]) || diagnostics.iter().any(Diagnostic::is_about_never);
        if is_open && task.parsed.value.is_some() && attempt.debug_value.is_none() {
            attempt.debug_value = Some(Box::new((diagnostics.to_vec(), cell.clone())));
            return true;
        }
        let repairs = repair(diagnostics, cell);
        let any_new = repairs.keys().any(|mark| !attempt.lost.contains_key(mark));
        attempt.lost.extend(repairs);
        any_new
    }

    /// The first cell to merge: where the types and traits are defined; if that was not enough, all.
    fn merge_from(&self, task: &Task<'_>, attempt: &Attempt) -> Option<usize> {
        match &attempt.merge {
            None => self.items.concerned(&task.parsed),
            Some(merge) => (merge.first > 0).then_some(0),
        }
    }

    fn carries(&self, task: &Task<'_>, attempt: &Attempt) -> BTreeMap<String, TypeText> {
        let Some(merge) = &attempt.merge else {
            return BTreeMap::new();
        };
        let stay = |(name, _): &(&String, _)| !task.outdated.contains_key(*name);
        let carried = |(name, variable): (&String, &Variable)| {
            let r#type = merge.renamed(&variable.r#type, &task.name)?;
            Some((name.clone(), r#type))
        };
        self.variables
            .iter()
            .filter(stay)
            .filter_map(carried)
            .collect()
    }
}

/// What is wrong beside the cell's Rust.
fn failed(task: &Task<'_>, cell: &CellSource, error: CompileError) -> Failure {
    match error {
        CompileError::NoLibrary(library) => {
            let mut links = task.parsed.links();
            let link = links.find(|link| link.library == library);
            failure::no_library(cell, &library, link)
        }
        CompileError::Crash(reason) => failure::syntax_error(task.title, &reason),
        CompileError::Tool(reason) => failure::tool(&reason),
        CompileError::Diagnostics(_) => failure::tool("the compiler refused the cell"),
    }
}

fn codes(diagnostics: &[Diagnostic]) -> Vec<String> {
    let mut codes: Vec<String> = Vec::new();
    for code in diagnostics.iter().map(Diagnostic::code) {
        // A lint has no number and no explanation.
        if code.starts_with('E') && !codes.iter().any(|known| known == code) {
            codes.push(code.to_owned());
        }
    }
    codes
}
