//! The reference corpus: cells as data in `tests/corpus`, run on our engine and, with the feature `evcxr`, on evcxr.

use std::fs;
use std::path::{Path, PathBuf};

use carrel_kernel::engine::{Engine, Output, StreamName};
use carrel_kernel::rust_engine::RustEngine;

use self::format::{Cell, File, Outcome, read};
use crate::notebook::{Notebook, Ran, plain};

#[cfg(feature = "evcxr")]
mod evcxr_run;
mod format;

/// One test for each file and engine.
macro_rules! files {
    ($($file:ident)*) => {
        const FILES: &[&str] = &[$(stringify!($file)),*];

        mod ours {
            $(#[tokio::test]
            async fn $file() {
                super::run_on_ours(stringify!($file)).await;
            })*
        }

        #[cfg(feature = "evcxr")]
        mod evcxr {
            $(#[tokio::test]
            async fn $file() {
                super::evcxr_run::run(stringify!($file)).await;
            })*
        }
    };
}

files! {
    async_await
    borrows
    closures
    collections
    commands
    compile_errors
    dependencies
    evcxr
    formatting
    generics
    items
    iterators
    macros
    modules
    names
    options
    patterns
    processes
    redefinitions
    run_errors
    sharing
    smallest
    strings
    tensors
    threads
    traits
    variables
}

#[test]
fn every_file_of_the_corpus_is_run_and_they_hold_150_cells() {
    let mut found = Vec::new();
    let mut cells = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name != "README" {
            let file = load(&name);
            cells += file
                .sessions
                .iter()
                .map(|session| session.cells.len())
                .sum::<usize>();
            found.push(name);
        }
    }
    found.sort();
    assert_eq!(found, FILES);
    assert!(cells >= 150, "only {cells} cells");
}

async fn run_on_ours(name: &str) {
    let mut report = Report::of(load(name));
    for session in std::mem::take(&mut report.file.sessions) {
        // Crates of `:dep` are built once, beside what the tests are built to.
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dependencies");
        let mut notebook = Notebook::over(RustEngine::building_in(cache));
        for cell in &session.cells {
            let actual = outcome(&mut notebook, cell, &cell.expected).await;
            report.same(cell, &cell.expected, &actual);
        }
    }
    report.tell();
}

/// Runs a cell. Its variables are looked up where `expected` speaks of them.
async fn outcome<E: Engine>(
    notebook: &mut Notebook<E>,
    cell: &Cell,
    expected: &Outcome,
) -> Outcome {
    let ran = notebook.run(&cell.code).await;
    let vars = match expected.vars {
        Some(_) => Some(variables(&notebook.run_again(":vars").await)),
        None => None,
    };
    let lines = |stream| ran.printed(stream).lines().map(str::to_owned).collect();
    let error = ran
        .failure
        .as_ref()
        .map(|failure| (failure.ename.clone(), failure.evalue.clone()));
    Outcome {
        value: ran.data("text/plain").map(|value| one_line(&value)),
        prints: lines(StreamName::Stdout),
        stderr: lines(StreamName::Stderr),
        shows: shown(&ran).map(one_line).collect(),
        error,
        error_has: ran.failure.iter().map(plain).collect(),
        vars,
        ..Outcome::default()
    }
}

fn shown(ran: &Ran) -> impl Iterator<Item = &str> {
    ran.outputs.iter().filter_map(|output| match output {
        Output::Display { bundle, .. } => bundle.data["text/plain"].as_str(),
        _ => None,
    })
}

/// Names in the answer to `:vars`: `x  u8` on our engine, `x: u8` on evcxr.
fn variables(ran: &Ran) -> Vec<String> {
    let text = shown(ran).next().map(str::to_owned);
    let text = text.or_else(|| ran.data("text/plain")).unwrap_or_default();
    let mut names: Vec<String> = text
        .lines()
        .filter(|line| *line != "no variables")
        .filter_map(|line| line.split([' ', ':']).next().map(str::to_owned))
        .collect();
    names.sort();
    names
}

fn one_line(text: &str) -> String {
    text.trim_end().replace('\n', "\\n")
}

/// What of an outcome is not as expected.
fn mismatches(expected: &Outcome, actual: &Outcome) -> Vec<&'static str> {
    let mut wrong = Vec::new();
    let mut check = |right: bool, what| wrong.extend((!right).then_some(what));
    let value = actual.value.as_deref().unwrap_or_default();
    match expected.value_has.is_empty() {
        true => check(expected.value == actual.value, "value"),
        false => check(all_in(&expected.value_has, value), "value"),
    }
    match expected.prints_lines {
        Some(count) => check(count == actual.prints.len(), "number of printed lines"),
        None => check(expected.prints == actual.prints, "printed text"),
    }
    let several = [
        (&expected.stderr, &actual.stderr, "stderr"),
        (&expected.shows, &actual.shows, "display"),
    ];
    for (phrases, texts, what) in several {
        let none = phrases.is_empty() && !texts.is_empty();
        check(!none && all_in(phrases, &texts.join("\n")), what);
    }
    let text = actual.error_has.join("\n");
    check(all_in(&expected.error_has, &text), "text of the error");
    match (&expected.error, &actual.error) {
        (None, None) => {}
        (Some((kind, phrase)), Some((actual, evalue))) => {
            check(kind == actual, "kind of error");
            check(
                evalue.contains(phrase) || text.contains(phrase),
                "text of the error",
            );
        }
        (None, Some(_)) => check(false, "error"),
        (Some(_), None) => check(false, "no error"),
    }
    check(
        expected.vars.is_none() || expected.vars == actual.vars,
        "variables",
    );
    wrong
}

fn all_in(phrases: &[String], text: &str) -> bool {
    phrases.iter().all(|phrase| text.contains(phrase))
}

/// All that is wrong in a file, told at once.
struct Report {
    file: File,
    complaints: Vec<String>,
}

impl Report {
    fn of(file: File) -> Self {
        Self {
            file,
            complaints: Vec::new(),
        }
    }

    fn same(&mut self, cell: &Cell, expected: &Outcome, actual: &Outcome) {
        let wrong = mismatches(expected, actual);
        if !wrong.is_empty() {
            let what = format!("not as expected: {}; the cell gave", wrong.join(", "));
            let text = actual.error_has.join("\n");
            self.add(cell.line, &what, &format!("{}\n{actual}{text}", cell.code));
        }
    }

    fn add(&mut self, line: usize, what: &str, text: &str) {
        let name = &self.file.name;
        self.complaints
            .push(format!("tests/corpus/{name}.md:{line}: {what}\n{text}"));
    }

    fn tell(self) {
        assert!(
            self.complaints.is_empty(),
            "\n{}",
            self.complaints.join("\n\n")
        );
    }
}

fn load(name: &str) -> File {
    let path = folder().join(format!("{name}.md"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let file = read(name, &text).unwrap_or_else(|error| panic!("{error}"));
    assert!(!file.sessions.is_empty(), "{name}.md holds no session");
    for session in &file.sessions {
        let line = session.line;
        assert!(!session.cells.is_empty(), "{name}.md:{line}: no cells");
        let of_cells = session.cells.iter().filter_map(|cell| cell.evcxr.as_ref());
        let mut reasons = of_cells
            .map(|evcxr| &evcxr.reason)
            .chain(session.evcxr.iter());
        assert!(
            reasons.all(|reason| !reason.is_empty()),
            "{name}.md:{line}: a reason is missing"
        );
    }
    file
}

fn folder() -> PathBuf {
    carrel_skip::package_folder().join("tests/corpus")
}
