//! The compiler's messages, and how they look in a notebook: at the cell's own lines, without ours.

mod names;

use std::collections::HashMap;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Patch, Renderer, Snippet};
use serde::Deserialize;

use super::source::{Mark, Source, line_column};

/// A message of `rustc --error-format=json`.
#[derive(Debug, Clone, Deserialize)]
pub struct Diagnostic {
    pub message: String,
    pub code: Option<Code>,
    pub level: String,
    pub spans: Vec<Span>,
    pub children: Vec<Diagnostic>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Code {
    pub code: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Span {
    pub file_name: String,
    pub byte_start: usize,
    pub byte_end: usize,
    pub is_primary: bool,
    pub label: Option<String>,
    pub suggested_replacement: Option<String>,
    pub expansion: Option<Box<Expansion>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Expansion {
    pub span: Span,
}

impl Diagnostic {
    /// The messages among lines of stderr, and the other lines.
    pub fn parse_all(stderr: &str) -> (Vec<Self>, String) {
        let mut diagnostics = Vec::new();
        let mut rest = String::new();
        for line in stderr.lines() {
            match serde_json::from_str::<Self>(line) {
                // "aborting due to 2 previous errors" says nothing more.
                Ok(diagnostic)
                    if diagnostic.spans.is_empty()
                        && diagnostic.message.starts_with("aborting") => {}
                Ok(diagnostic) if diagnostic.level == "failure-note" => {}
                Ok(mut diagnostic) => {
                    names::shorten(&mut diagnostic);
                    diagnostics.push(diagnostic);
                }
                Err(_) => {
                    rest.push_str(line);
                    rest.push('\n');
                }
            }
        }
        (diagnostics, rest)
    }

    pub fn is_error(&self) -> bool {
        self.level.starts_with("error")
    }

    /// Notes such as "`#[warn(..)]` on by default": cells have no say in that.
    fn is_about_lint_level(&self) -> bool {
        self.message.contains("on by default") || self.message.contains("on the command line")
    }

    /// Suggested `use` declarations. Their place is the top of the generated file; in a notebook any will do.
    fn imports(&self) -> Option<String> {
        let imports: Vec<_> = self
            .spans
            .iter()
            .filter_map(|span| Some(span.suggested_replacement.as_deref()?.trim()))
            .filter(|text| text.starts_with("use "))
            .map(|text| format!("`{text}`"))
            .collect();
        (!imports.is_empty()).then(|| imports.join(", "))
    }

    /// Whether a name is not in scope.
    pub fn misses_name(&self) -> bool {
        let paths = [
            "E0404", "E0405", "E0412", "E0422", "E0423", "E0425", "E0432", "E0433", "E0531",
            "E0532", "E0573", "E0574",
        ];
        // A macro has no code.
        paths.contains(&self.code())
            || self.code().is_empty() && self.message.starts_with("cannot find")
    }

    /// Whether it is a `?` whose error the error of cells cannot be made from.
    pub fn is_no_cell_error(&self) -> bool {
        self.code() == "E0277" && self.message.starts_with("`?` couldn't convert the error")
    }

    /// Whether it is a value with a part that is never made, taken for one that shows itself otherwise than by `Debug`.
    pub fn is_about_never(&self) -> bool {
        self.code() == "E0277" && self.message.starts_with("the trait bound `!: ")
    }

    /// The first name that the message quotes.
    pub fn quoted(&self) -> Option<String> {
        self.message.split('`').nth(1).map(str::to_owned)
    }

    pub fn code(&self) -> &str {
        self.code.as_ref().map_or("", |code| &code.code)
    }

    /// The message and its main place alone.
    pub fn without_guesses(&self) -> Self {
        let mut plain = self.clone();
        plain.children.clear();
        plain.spans.retain(|span| span.is_primary);
        plain
    }

    /// Where in the cell it points, and the calls of macros that made what is there.
    pub fn places(&self, cell: &CellSource) -> Vec<Range<usize>> {
        let calls = |span| {
            std::iter::successors(Some(span), |span: &&Span| {
                span.expansion.as_ref().map(|expansion| &expansion.span)
            })
        };
        let spans = self.spans.iter().flat_map(calls);
        spans.filter_map(|span| span.in_cell(cell)).collect()
    }

    /// These, and where it points in notes below it.
    pub fn all_places(&self, cell: &CellSource) -> Vec<Range<usize>> {
        let children = self.children.iter().flat_map(|child| child.places(cell));
        self.places(cell).into_iter().chain(children).collect()
    }

    /// A name that several globs bring: an error, but between crates a warning only, as for what other crates will see.
    pub fn ambiguous(&self) -> Option<String> {
        let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
        match self.code() {
            "E0659" | "ambiguous_glob_imports" => {
                let mut notes = self.children.iter();
                let of_globs = notes.any(|note| note.message.contains("multiple glob imports"));
                self.quoted().filter(|_| of_globs)
            }
            "ambiguous_glob_reexports" => self
                .spans
                .iter()
                .find_map(|span| quoted(span.label.as_deref()?)),
            _ => None,
        }
    }

    /// Whether its main place is in a file.
    pub fn is_in(&self, file: &str) -> bool {
        let mut spans = self.spans.iter();
        spans.any(|span| span.is_primary && span.resolve(file).is_some())
    }

    /// Our own lines that the message points at, and how.
    pub fn marks<'a>(&self, cell: &'a CellSource) -> Vec<(&'a Mark, Place)> {
        let mark = |span: &Span| cell.source.mark(span.resolve(&cell.file)?.byte_start);
        let own = self.spans.iter().map(|span| match span.is_primary {
            true => (span, Place::Primary),
            false => (span, Place::Secondary),
        });
        let notes = self.children.iter().flat_map(|child| &child.spans);
        own.chain(notes.map(|span| (span, Place::Note)))
            .filter_map(|(span, place)| Some((mark(span)?, place)))
            .collect()
    }
}

/// How a message points at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Primary,
    Secondary,
    /// In a note or a suggestion below it.
    Note,
}

impl Span {
    /// The span itself, or the place of the macro call that it comes from, in `file`.
    fn resolve(&self, file: &str) -> Option<&Self> {
        if self.file_name == file {
            return Some(self);
        }
        self.expansion.as_ref()?.span.resolve(file)
    }

    /// The place in `cell` that the span, or the macro call that it comes from, covers.
    fn in_cell(&self, cell: &CellSource) -> Option<Range<usize>> {
        if self.file_name == cell.file {
            let range = cell.source.range_in_cell(&(self.byte_start..self.byte_end));
            if range.is_some() {
                return range;
            }
        }
        self.expansion.as_ref()?.span.in_cell(cell)
    }
}

/// Generated files of all cells by name.
pub type Sources = HashMap<String, CellSource>;

/// The cell whose messages are told, and those before it that they may point into.
#[derive(Clone, Copy)]
pub struct Cells<'a> {
    pub cell: &'a CellSource,
    pub earlier: &'a Sources,
}

/// A cell as the person sees it, with the source that was generated from it.
#[derive(Debug, Clone)]
pub struct CellSource {
    /// `Cell [n]`.
    pub title: String,
    /// Name of the generated file.
    pub file: String,
    pub code: String,
    pub source: Source,
}

impl CellSource {
    /// Line and column of a place in the generated file.
    pub fn line_column(&self, line: u32, column: u32) -> Option<(usize, usize)> {
        Some(line_column(&self.code, self.source.place(line, column)?))
    }

    /// `Cell [n]:line:column`.
    pub fn told(&self, byte: usize) -> String {
        let (line, column) = line_column(&self.code, byte);
        format!("{}:{line}:{column}", self.title)
    }
}

impl<'a> Cells<'a> {
    /// `Cell [n]:line:column` of the main place of a message.
    pub fn place(&self, diagnostic: &Diagnostic) -> Option<String> {
        let primary = diagnostic.spans.iter().find(|span| span.is_primary)?;
        let (cell, range) = self.find(primary)?;
        Some(cell.told(range.start))
    }

    /// Whether the main place of a message is in the cell itself.
    pub fn is_own(&self, diagnostic: &Diagnostic) -> bool {
        let primary = diagnostic.spans.iter().find(|span| span.is_primary);
        primary.is_some_and(|span| span.in_cell(self.cell).is_some())
    }

    /// Where a span is; a macro of an earlier cell counts as the call of it.
    fn find(&self, span: &Span) -> Option<(&'a CellSource, Range<usize>)> {
        let of = |cell: &'a CellSource| Some((cell, span.in_cell(cell)?));
        of(self.cell).or_else(|| of(self.earlier.get(&span.file_name)?))
    }

    /// The message with source lines and colours; `notes` are our own words on it.
    pub fn render(&self, diagnostic: &Diagnostic, notes: &[String]) -> String {
        let mut title = level(&diagnostic.level).primary_title(diagnostic.message.as_str());
        if let Some(code) = &diagnostic.code {
            title = title.id(code.code.as_str());
        }
        let mut group = Group::with_title(title).elements(self.snippets(diagnostic));
        let mut suggestions = Vec::new();
        let children = diagnostic.children.iter();
        for child in children.filter(|child| !child.is_about_lint_level()) {
            let level = level(&child.level);
            let patches = self.patches(child);
            if !patches.is_empty() {
                let title = level.secondary_title(child.message.as_str());
                suggestions.push(Group::with_title(title).elements(patches));
                continue;
            }
            if let Some(imports) = child.imports() {
                group = group.element(level.message(format!("{}: {imports}", child.message)));
                continue;
            }
            let snippets = self.snippets(child);
            if !snippets.is_empty() || child.spans.is_empty() {
                group = group.element(level.message(child.message.as_str()));
                group = group.elements(snippets);
            }
        }
        let notes = notes.iter().map(|note| Level::HELP.message(note.as_str()));
        suggestions.insert(0, group.elements(notes));
        Renderer::styled().render(&suggestions)
    }

    /// The lines that a message points at, by cell.
    fn snippets<'b>(&self, diagnostic: &'b Diagnostic) -> Vec<Snippet<'b, Annotation<'b>>>
    where
        'a: 'b,
    {
        let mut cells: Vec<(&CellSource, Vec<_>)> = Vec::new();
        for span in &diagnostic.spans {
            let Some((cell, range)) = self.find(span) else {
                continue;
            };
            let kind = match span.is_primary {
                true => AnnotationKind::Primary,
                false => AnnotationKind::Context,
            };
            let annotation = kind.span(range).label(span.label.as_deref());
            match cells.iter_mut().find(|(other, _)| other.file == cell.file) {
                Some((_, annotations)) => annotations.push(annotation),
                None => cells.push((cell, vec![annotation])),
            }
        }
        let snippet = |(cell, annotations): (&'b CellSource, Vec<Annotation<'b>>)| {
            Snippet::source(cell.code.as_str())
                .path(cell.title.as_str())
                .annotations(annotations)
        };
        cells.into_iter().map(snippet).collect()
    }

    /// Suggestions; none if a part of one is outside of the cell.
    fn patches<'b>(&self, diagnostic: &'b Diagnostic) -> Vec<Snippet<'b, Patch<'b>>>
    where
        'a: 'b,
    {
        let cell = self.cell;
        let mut ranges = Vec::new();
        let mut patches = Vec::new();
        for span in &diagnostic.spans {
            let replacement = span.suggested_replacement.as_deref();
            let range = span.in_cell(cell);
            let (Some(replacement), Some(range)) = (replacement, range) else {
                return Vec::new();
            };
            ranges.push(range.clone());
            patches.push(Patch::new(range, replacement));
        }
        let snippet = |patches: Vec<Patch<'b>>| {
            Snippet::source(cell.code.as_str())
                .path(cell.title.as_str())
                .patches(patches)
        };
        // Several texts for one place are alternatives, which the compiler does not tell apart from parts.
        if (1..ranges.len()).any(|index| ranges[..index].contains(&ranges[index])) {
            return patches
                .into_iter()
                .map(|patch| snippet(vec![patch]))
                .collect();
        }
        if patches.is_empty() {
            return Vec::new();
        }
        vec![snippet(patches)]
    }
}

fn level(name: &str) -> Level<'static> {
    match name {
        "warning" => Level::WARNING,
        "note" => Level::NOTE,
        "help" => Level::HELP,
        _ => Level::ERROR,
    }
}
