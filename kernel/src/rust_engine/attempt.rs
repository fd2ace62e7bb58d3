//! Compiles a cell against what lives in its notebook, and again as the compiler's errors teach how.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::compile::{CompileError, Compiled, Job, Toolchain};
use super::diagnostics::{CellSource, Cells, Diagnostic};
use super::failure;
use super::generate::{Surroundings, Variable, generate, unparsed};
use super::items::ItemCell;
use super::merge::Merge;
use super::notebook::{Notebook, Runnable};
use super::parse::{Parsed, SyntaxError};
use super::repair::{NO_NAME, repair};
use super::source::Mark;
use super::types::{Kept, kept, mentions};
use crate::engine::Failure;

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

/// Compiling again in another way; more would only try the person's patience.
const MOST_ATTEMPTS: usize = 7;

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
    carries: BTreeMap<String, String>,
    /// Boxes to keep closures in, by number of the variable.
    boxes: HashMap<usize, String>,
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
            let reason = "a crate that its type is made with is another one since it was made";
            let carried = self.carries.keys().cloned().map(Mark::Carry);
            self.lost
                .extend(carried.map(|mark| (mark, reason.to_owned())));
        }
        self.lost.len() > before
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
        let links: Vec<_> = task
            .parsed
            .links()
            .map(|link| link.library.clone())
            .collect();
        for _ in 0..MOST_ATTEMPTS {
            let cell = self.generate(&task, &attempt);
            let modules = attempt
                .merge
                .as_ref()
                .map(|merge| merge.modules(&task.name));
            let modules = modules.unwrap_or_default();
            let job = Job {
                name: &task.name,
                source: cell.source.text(),
                modules: &modules,
                crates: &self.items.crate_names(),
                links: &links,
                has_items: !task.parsed.items.is_empty(),
                has_bindings: !task.parsed.bindings.is_empty(),
            };
            let compiled = toolchain.compile(&job).await;
            let modules = modules
                .into_iter()
                .map(|module| (module.file.clone(), module));
            self.sources.extend(modules);
            let diagnostics = match compiled {
                Ok(compiled) => {
                    if attempt.carries_too_much(&compiled.externs) {
                        continue;
                    }
                    let crates = toolchain.crates(&task.parsed);
                    let kept = kept(&compiled.mir, &task.name, &crates);
                    if !kept.boxes.is_empty() {
                        attempt.boxes = kept.boxes;
                        continue;
                    }
                    self.prelude_names.extend(attempt.missed.drain(..));
                    let runnable = self.runnable(task, attempt, &cell, compiled, kept);
                    self.sources.insert(cell.file.clone(), cell);
                    return Ok(runnable);
                }
                Err(CompileError::Diagnostics(diagnostics)) => diagnostics,
                Err(CompileError::Tool(reason)) => return Err(failure::tool(&reason)),
                Err(CompileError::NoLibrary(library)) => {
                    let mut links = task.parsed.links();
                    let link = links.find(|link| link.library == library);
                    return Err(failure::no_library(&cell, &library, link));
                }
                Err(CompileError::Crash(reason)) => {
                    return Err(failure::syntax_error(title, &reason));
                }
            };
            // What a macro makes are no items, which the compiler tells without a code.
            let no_items = diagnostics
                .iter()
                .any(|one| one.code().is_empty() && !one.misses_name());
            if no_items && task.parsed.calls_are_statements() {
                continue;
            }
            if !self.learn(&task, &mut attempt, &diagnostics, &cell) {
                self.last_errors = codes(&diagnostics);
                return Err(self.compile_failure(&task, &attempt, &cell, &diagnostics));
            }
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
            Err(CompileError::Diagnostics(diagnostics)) => {
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
        // An `impl` away from its type and its trait.
        if any(&["E0116", "E0117", "E0120", "E0210", "E0321", "E0390"])
            && let Some(first) = self.merge_from(task, attempt)
        {
            attempt.merge = Some(Merge::new(&self.items, first, &task.parsed));
            attempt.prelude = true;
            attempt.carries = self.carries(task, attempt);
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

    fn carries(&self, task: &Task<'_>, attempt: &Attempt) -> BTreeMap<String, String> {
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

    fn generate(&self, task: &Task<'_>, attempt: &Attempt) -> CellSource {
        let Task { name, parsed, .. } = task;
        let without: HashSet<Mark> = attempt.lost.keys().cloned().collect();
        let lost = |variable: &str| {
            let marks = [
                Mark::Take(variable.to_owned()),
                Mark::Carry(variable.to_owned()),
            ];
            marks.iter().any(|mark| without.contains(mark))
        };
        let mentioned = |variable: &str| {
            parsed.words.contains(variable)
                && !task.outdated.contains_key(variable)
                && !lost(variable)
        };
        let mut variables = BTreeMap::new();
        for (variable, kind) in &self.variables {
            if mentioned(variable) {
                let mut kind = kind.clone();
                if let Some(r#type) = attempt.carries.get(variable) {
                    kind.r#type.clone_from(r#type);
                }
                variables.insert(variable.as_str(), kind);
            }
        }
        let (modules, imports) = match &attempt.merge {
            Some(merge) => merge.declarations(name),
            None => {
                let count = match attempt.items {
                    true => self.items.cells.len(),
                    false => 0,
                };
                let imports = self.items.imports(count, attempt.prelude, &parsed.items);
                (self.items.macro_crates(count, &parsed.items), imports)
            }
        };
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
            variables,
            without: &without,
            boxes: &attempt.boxes,
            awaits: attempt.awaits,
            evcxr: task.evcxr,
            debug_errors: attempt.debug_errors,
            tokio: parsed.words.contains("tokio") || self.items.mention("tokio"),
        };
        CellSource {
            title: task.title.to_owned(),
            file: format!("{name}.rs"),
            code: task.code.to_owned(),
            source: generate(task.code, parsed, &around),
        }
    }

    fn runnable(
        &self,
        task: Task<'_>,
        attempt: Attempt,
        cell: &CellSource,
        compiled: Compiled,
        kept: Kept,
    ) -> Runnable {
        let mut loses: HashMap<String, String> = HashMap::new();
        for (mark, reason) in &attempt.lost {
            loses.insert(mark.name().to_owned(), reason.clone());
        }
        let mut declares = BTreeMap::new();
        for (number, binding) in task.parsed.bindings.iter().enumerate() {
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
        let own = diagnostics.iter().filter(|one| cells.is_own(one));
        let statics = attempt.merge.iter().flat_map(Merge::new_statics);
        let anew = statics.map(|name| {
            format!("the static `{name}` starts anew: its type was compiled again with this cell's `impl`")
        });
        own.map(|one| cells.render(one, &[])).chain(anew).collect()
    }

    fn cells<'a>(&'a self, cell: &'a CellSource) -> Cells<'a> {
        Cells {
            cell,
            earlier: &self.sources,
        }
    }

    fn compile_failure(
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
