//! The compiler's messages, and how they look in a notebook: at the cell's own lines, without ours.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};
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
                Ok(diagnostic) => diagnostics.push(diagnostic),
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

    pub fn code(&self) -> &str {
        self.code.as_ref().map_or("", |code| &code.code)
    }

    /// Our own lines that the message points at, and whether as the main place.
    pub fn marks<'a>(
        &'a self,
        file: &'a str,
        source: &'a Source,
    ) -> impl Iterator<Item = (&'a Mark, bool)> {
        self.spans.iter().filter_map(move |span| {
            Some((
                source.mark(span.resolve(file)?.byte_start)?,
                span.is_primary,
            ))
        })
    }
}

impl Span {
    /// The span itself, or the place of the macro call that it comes from, in `file`.
    fn resolve(&self, file: &str) -> Option<&Self> {
        if self.file_name == file {
            return Some(self);
        }
        self.expansion.as_ref()?.span.resolve(file)
    }

    fn in_cell(&self, file: &str, source: &Source) -> Option<Range<usize>> {
        if self.file_name == file {
            let range = source.range_in_cell(&(self.byte_start..self.byte_end));
            if range.is_some() {
                return range;
            }
        }
        self.expansion.as_ref()?.span.in_cell(file, source)
    }
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
    /// `Cell [n]:line:column` of the main place of a message.
    pub fn place(&self, diagnostic: &Diagnostic) -> Option<String> {
        let primary = diagnostic.spans.iter().find(|span| span.is_primary)?;
        let range = primary.in_cell(&self.file, &self.source)?;
        let (line, column) = line_column(&self.code, range.start);
        Some(format!("{}:{line}:{column}", self.title))
    }

    /// Line and column of a place in the generated file.
    pub fn line_column(&self, line: u32, column: u32) -> Option<(usize, usize)> {
        let byte = self.source.byte_at(line, column)?;
        Some(line_column(&self.code, self.source.in_cell(byte)?))
    }

    /// The message with source lines and colours; `notes` are our own words on it.
    pub fn render(&self, diagnostic: &Diagnostic, notes: &[String]) -> String {
        let mut title = level(&diagnostic.level).primary_title(diagnostic.message.as_str());
        if let Some(code) = &diagnostic.code {
            title = title.id(code.code.as_str());
        }
        let mut group = Group::with_title(title).elements(self.snippet(diagnostic));
        let mut suggestions = Vec::new();
        let children = diagnostic.children.iter();
        for child in children.filter(|child| !child.is_about_lint_level()) {
            let level = level(&child.level);
            let patches = self.patches(child);
            if !patches.is_empty() {
                let title = level.secondary_title(child.message.as_str());
                suggestions.push(Group::with_title(title).elements(patches));
            } else if let Some(imports) = child.imports() {
                group = group.element(level.message(format!("{}: {imports}", child.message)));
            } else if let Some(snippet) = self.snippet(child) {
                group = group.element(level.message(child.message.as_str()));
                group = group.element(snippet);
            } else if child.spans.is_empty() {
                group = group.element(level.message(child.message.as_str()));
            }
        }
        let notes = notes.iter().map(|note| Level::HELP.message(note.as_str()));
        suggestions.insert(0, group.elements(notes));
        Renderer::styled().render(&suggestions)
    }

    fn snippet<'a>(
        &'a self,
        diagnostic: &'a Diagnostic,
    ) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
        let mut annotations = Vec::new();
        for span in &diagnostic.spans {
            let Some(range) = span.in_cell(&self.file, &self.source) else {
                continue;
            };
            let kind = match span.is_primary {
                true => AnnotationKind::Primary,
                false => AnnotationKind::Context,
            };
            annotations.push(kind.span(range).label(span.label.as_deref()));
        }
        (!annotations.is_empty()).then(|| {
            Snippet::source(self.code.as_str())
                .path(self.title.as_str())
                .annotations(annotations)
        })
    }

    /// Suggestions; none if a part of one is outside of the cell.
    fn patches<'a>(&'a self, diagnostic: &'a Diagnostic) -> Vec<Snippet<'a, Patch<'a>>> {
        let mut ranges = Vec::new();
        let mut patches = Vec::new();
        for span in &diagnostic.spans {
            let replacement = span.suggested_replacement.as_deref();
            let range = span.in_cell(&self.file, &self.source);
            let (Some(replacement), Some(range)) = (replacement, range) else {
                return Vec::new();
            };
            ranges.push(range.clone());
            patches.push(Patch::new(range, replacement));
        }
        let snippet = |patches: Vec<Patch<'a>>| {
            Snippet::source(self.code.as_str())
                .path(self.title.as_str())
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
