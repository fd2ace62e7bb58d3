//! Failures of cells as a notebook shows them.

use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use carrel_cell::diagnostics::{CellSource, Cells, Diagnostic, Sources};
use carrel_cell::parse::Link;
use carrel_protocol::{Panic, Place};
use nix::sys::signal::Signal;

use crate::engine::Failure;
use crate::rust_engine::dependencies::{BuildError, DependencyError};

/// The compiler refused the cell. `why_gone` knows what became of variables.
pub fn compile_error(
    cells: Cells<'_>,
    diagnostics: &[Diagnostic],
    why_gone: impl Fn(&str) -> Option<String>,
) -> Failure {
    let first = diagnostics.first();
    let evalue = first.map_or_else(String::new, |diagnostic| {
        let place = cells.place(diagnostic);
        let place = place.unwrap_or_else(|| cells.cell.title.clone());
        format!("{} ({place})", diagnostic.message)
    });
    let render = |diagnostic| match gone(diagnostic, &why_gone) {
        // The compiler's guesses at what was meant would only distract from what is known.
        Some(note) => cells.render(&diagnostic.without_guesses(), &[note]),
        None => cells.render(diagnostic, note(diagnostic).as_slice()),
    };
    Failure {
        ename: "compile error".to_owned(),
        evalue,
        traceback: diagnostics.iter().map(render).collect(),
    }
}

/// What became of a variable that the compiler does not find.
fn gone(diagnostic: &Diagnostic, why_gone: impl Fn(&str) -> Option<String>) -> Option<String> {
    let name = quoted(&diagnostic.message).filter(|_| diagnostic.code() == "E0425")?;
    Some(format!(
        "there was a variable `{name}`, but {}",
        why_gone(name)?
    ))
}

/// What a notebook adds to an error of the language.
fn note(diagnostic: &Diagnostic) -> Option<String> {
    let is_of_two = |child: &Diagnostic| child.message.contains("different versions of crate");
    if diagnostic.children.iter().any(is_of_two) {
        return Some(
            "a crate of `:dep` and the prepared crates, which cells see without it, have a copy each of the crate that is named here; values go from one to the other as text or bytes"
                .to_owned(),
        );
    }
    match diagnostic.code() {
        "E0116" | "E0117" | "E0390" => Some(
            "the type or the trait must be one of this notebook: wrap a type of another crate in a `struct` of your own, or declare a trait for it"
                .to_owned(),
        ),
        "E0728" => Some(
            "`.await` works at the top level of a cell and in `async` code, not in other functions and closures"
                .to_owned(),
        ),
        "E0384" | "E0594" | "E0596" => quoted(&diagnostic.message).map(|name| match is_name(name) {
            true => format!("declare a variable that changes with `let mut`; one of an earlier cell becomes one by `let mut {name} = {name};`"),
            false => "declare a variable that changes with `let mut`".to_owned(),
        }),
        "static_mut_refs" => Some(
            "use a `let mut` variable, which lives from cell to cell, or a `static` with an atomic or a `Mutex` in it"
                .to_owned(),
        ),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_alphanumeric() || letter == '_')
}

fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

/// The linker does not find a library that a cell names.
pub fn no_library(cell: &CellSource, library: &str, link: Option<&Link>) -> Failure {
    let message = format!("there is no library `{library}` where the linker looks");
    let help = "install its development package, or name its folder in $LIBRARY_PATH before the kernel starts";
    explained(cell, link.map(|link| link.range.clone()), &message, help)
}

/// A function or static of an `extern` block that is in no library.
pub fn no_symbol(cell: &CellSource, symbol: &str) -> Failure {
    let is_word = |at: &usize| {
        let word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let before = cell.code[..*at].chars().next_back();
        let after = cell.code[at + symbol.len()..].chars().next();
        !before.is_some_and(word) && !after.is_some_and(word)
    };
    let mut places = cell.code.match_indices(symbol).map(|(at, _)| at);
    let range = places.find(is_word).map(|at| at..at + symbol.len());
    let message = format!("`{symbol}` is in none of the libraries that the cell is linked with");
    let help =
        "name its library above the `extern` block, such as `#[link(name = \"z\")]` for libz";
    explained(cell, range, &message, help)
}

/// Our own words on a part of a cell.
fn explained(cell: &CellSource, range: Option<Range<usize>>, message: &str, help: &str) -> Failure {
    let place = range.as_ref().map(|range| cell.told(range.start));
    let snippet = range.map(|range| {
        Snippet::source(cell.code.as_str())
            .path(cell.title.as_str())
            .annotation(AnnotationKind::Primary.span(range))
    });
    let group = Group::with_title(Level::ERROR.primary_title(message)).elements(snippet);
    let group = group.element(Level::HELP.message(help));
    let place = place.unwrap_or_else(|| cell.title.clone());
    Failure {
        ename: "compile error".to_owned(),
        evalue: format!("{message} ({place})"),
        traceback: vec![Renderer::styled().render(&[group])],
    }
}

/// Only this parser, not the compiler, refused the cell.
pub fn syntax_error(title: &str, reason: &str) -> Failure {
    simple("compile error", &format!("{reason}, in {title}"))
}

/// A line that starts with `:`.
pub fn command(title: &str, reason: &str) -> Failure {
    simple("command error", &format!("{reason} ({title})"))
}

/// A crate of `:dep` cannot be had. The builder's own words go below the sentence.
pub fn dependency(title: &str, error: &DependencyError) -> Failure {
    let mut failure = simple("dependency error", &format!("{error} ({title})"));
    if let DependencyError::Build(BuildError::Cargo(error)) = error {
        failure
            .traceback
            .extend((!error.detail.is_empty()).then(|| error.detail.clone()));
    }
    failure
}

/// A library of dependencies does not fit into the worker.
pub fn unloadable(reason: &str, lost: &[String]) -> Failure {
    let evalue = format!(
        "the built crates could not be loaded and are forgotten: {reason}; {}",
        loss(lost)
    );
    simple("dependency error", &evalue)
}

/// The kernel's own tools are in trouble.
pub fn tool(reason: &str) -> Failure {
    simple("kernel not ready", reason)
}

/// `?` at top level.
pub fn error(chain: &[String], place: &Place, sources: &Sources) -> Failure {
    let evalue = chain.first().cloned().unwrap_or_default();
    let mut traceback = vec![at(&evalue, "Error", place, sources)];
    traceback.extend(
        chain
            .iter()
            .skip(1)
            .map(|cause| format!("caused by: {cause}")),
    );
    Failure {
        ename: "Error".to_owned(),
        evalue,
        traceback,
    }
}

pub fn panic(panic: &Panic, sources: &Sources) -> Failure {
    let place = told(&panic.place, sources);
    let evalue = match place.is_empty() {
        true => panic.message.clone(),
        false => format!("{} ({place})", panic.message),
    };
    Failure {
        ename: "panic".to_owned(),
        evalue,
        traceback: vec![at(&panic.message, "panic", &panic.place, sources)],
    }
}

/// A panic of a thread that a cell started, as text for stderr.
pub fn thread_panic(panic: &Panic, sources: &Sources) -> String {
    format!(
        "{}\n",
        at(&panic.message, "panic in a thread", &panic.place, sources)
    )
}

/// The worker's process ended by itself; `last_words` is the end of its stderr.
pub fn died(status: ExitStatus, last_words: &str, lost: &[String]) -> Failure {
    let how = match (status.signal(), status.code()) {
        (Some(signal), _) => {
            let name = Signal::try_from(signal).map_or("an unknown signal", Signal::as_str);
            let cause = cause(name, last_words);
            format!("it was ended by {name} (signal {signal}){cause}")
        }
        (None, Some(code)) => format!("it exited with code {code}"),
        (None, None) => "it ended".to_owned(),
    };
    simple("worker died", &format!("{how}; {}", loss(lost)))
}

fn cause(signal: &str, last_words: &str) -> &'static str {
    let said = |words: &str| last_words.contains(words);
    match signal {
        _ if said("has overflowed its stack") => {
            ": the stack overflowed, as by a recursion that does not end"
        }
        _ if said("memory allocation of") => ": memory ran out",
        "SIGKILL" => ", perhaps because memory ran out",
        "SIGABRT" => ", as by std::process::abort or a panic in a destructor",
        "SIGSEGV" | "SIGBUS" => ", an access to memory that is not there",
        _ => "",
    }
}

/// Before the cell ran.
pub fn not_begun() -> Failure {
    simple(
        "Interrupted",
        "the cell had not begun; all variables are kept",
    )
}

/// The cell stopped by itself.
pub fn interrupted(place: &Place, lost: &[String], sources: &Sources) -> Failure {
    // A tick of a library, such as that of a progress bar, says nothing of the cell.
    let nowhere = Place::default();
    let cell = sources.get(&place.file);
    let place = match cell.and_then(|cell| cell.line_column(place.line, place.column)) {
        Some(_) => place,
        None => &nowhere,
    };
    let told = told(place, sources);
    let at_place = match told.is_empty() {
        true => String::new(),
        false => format!(" at {told}"),
    };
    let evalue = match lost {
        [] => format!("stopped{at_place}; all variables are kept"),
        _ => format!("stopped{at_place}; moved and lost: {}", lost.join(", ")),
    };
    Failure {
        ename: "Interrupted".to_owned(),
        traceback: vec![at(&evalue, "Interrupted", place, sources)],
        evalue,
    }
}

/// The cell was left waiting.
pub fn left(lost: &[String]) -> Failure {
    let what = "stopped while it waited for what did not come";
    let evalue = match lost {
        [] => format!("{what}; all variables are kept"),
        _ => format!("{what}; taken by it and lost: {}", lost.join(", ")),
    };
    simple("Interrupted", &evalue)
}

/// The cell did not stop by itself.
pub fn killed(lost: &[String]) -> Failure {
    let evalue = format!(
        "the cell did not stop, so the worker was ended; {}",
        loss(lost)
    );
    simple("Interrupted", &evalue)
}

pub fn loss(lost: &[String]) -> String {
    if lost.is_empty() {
        return "no variables were lost".to_owned();
    }
    format!("lost variables: {}", lost.join(", "))
}

/// A failure with no place.
pub fn simple(ename: &str, evalue: &str) -> Failure {
    Failure {
        traceback: vec![format!(
            "\u{1b}[1m\u{1b}[91m{ename}\u{1b}[0m\u{1b}[1m: {evalue}\u{1b}[0m"
        )],
        ename: ename.to_owned(),
        evalue: evalue.to_owned(),
    }
}

/// The message over the line of the cell where it happened.
fn at(message: &str, kind: &'static str, place: &Place, sources: &Sources) -> String {
    let cell = sources.get(&place.file);
    let mut group = Group::with_title(Level::ERROR.with_name(kind).primary_title(message));
    let byte = cell.and_then(|cell| cell.source.place(place.line, place.column));
    match (cell, byte) {
        (Some(cell), Some(byte)) => {
            let letter = cell.code.get(byte..).and_then(|rest| rest.chars().next());
            let end = byte + letter.map_or(0, char::len_utf8);
            let snippet = Snippet::source(cell.code.as_str())
                .path(cell.title.as_str())
                .annotation(AnnotationKind::Primary.span(byte..end));
            group = group.element(snippet);
        }
        _ if place.file.is_empty() => {}
        _ => group = group.element(Level::NOTE.message(told(place, sources))),
    }
    Renderer::styled().render(&[group])
}

/// `Cell [n]:line:column`, or the place in a library.
fn told(place: &Place, sources: &Sources) -> String {
    let cell = sources.get(&place.file);
    let mapped = cell.and_then(|cell| Some((cell, cell.line_column(place.line, place.column)?)));
    match mapped {
        Some((cell, (line, column))) => format!("{}:{line}:{column}", cell.title),
        None if place.file.is_empty() => String::new(),
        None => format!("{}:{}:{}", place.file, place.line, place.column),
    }
}
