//! Collects the mistakes of a configuration file, so that all of them show at once.

use std::collections::BTreeMap;
use std::fmt;

use super::yaml::{At, Kind, Node};

/// Every mistake of one configuration file, one line each: `file:line:column: key: what is wrong`.
#[derive(Debug)]
pub struct ConfigErrors {
    file: String,
    mistakes: Vec<Mistake>,
    /// What is passed over.
    warnings: Vec<Mistake>,
}

#[derive(Debug)]
struct Mistake {
    at: Option<At>,
    /// `Section.key`; empty for the file as a whole.
    path: String,
    message: String,
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "{count} {noun} in the configuration:")?;
        for mistake in &self.mistakes {
            write!(f, "\n{}", mistake.line(&self.file))?;
        }
        Ok(())
    }
}

impl Mistake {
    /// `file:line:column: key: what is wrong`.
    fn line(&self, file: &str) -> String {
        let mut line = file.to_owned();
        if let Some(At { line: row, column }) = self.at {
            line += &format!(":{row}:{column}");
        }
        if !self.path.is_empty() {
            line += &format!(": {}", self.path);
        }
        format!("{line}: {}", self.message)
    }
}

/// One line about a key: where it stands, the key, and what there is to say.
pub(super) type Remark = (Option<At>, String, String);

/// Mistakes found so far, and where each key of the file stands.
#[derive(Debug)]
pub(super) struct Report {
    errors: ConfigErrors,
    positions: BTreeMap<String, At>,
}

impl Report {
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            errors: ConfigErrors {
                file: file.into(),
                mistakes: Vec::new(),
                warnings: Vec::new(),
            },
            positions: BTreeMap::new(),
        }
    }

    /// What is to be warned of, one line each, where nothing is wrong.
    pub fn finish(mut self) -> Result<Vec<String>, ConfigErrors> {
        if self.errors.mistakes.is_empty() {
            let file = &self.errors.file;
            self.errors.warnings.sort_by_key(|warning| warning.at);
            let warnings = self.errors.warnings.iter();
            return Ok(warnings.map(|warning| warning.line(file)).collect());
        }
        self.errors.mistakes.sort_by_key(|mistake| mistake.at);
        Err(self.errors)
    }

    /// All mistakes, and all that is to be warned of.
    pub fn remarks(self) -> (Vec<Remark>, Vec<Remark>) {
        let remark = |mistake: Mistake| (mistake.at, mistake.path, mistake.message);
        let (mistakes, warnings) = (self.errors.mistakes, self.errors.warnings);
        (
            mistakes.into_iter().map(remark).collect(),
            warnings.into_iter().map(remark).collect(),
        )
    }

    /// Takes out the mistakes of keys that the file leaves to their defaults.
    pub fn take_missing(&mut self) -> Vec<(String, String)> {
        let missing = self
            .errors
            .mistakes
            .extract_if(.., |mistake| mistake.at.is_none());
        missing
            .map(|mistake| (mistake.path, mistake.message))
            .collect()
    }

    /// A mistake of the whole file, which then has no other.
    pub fn fail(mut self, at: Option<At>, message: impl Into<String>) -> ConfigErrors {
        self.mistake(at, "", message);
        self.errors
    }

    pub fn wrong(&mut self, at: At, path: &str, message: impl Into<String>) {
        self.mistake(Some(at), path, message);
    }

    pub fn warn(&mut self, at: Option<At>, path: &str, message: impl Into<String>) {
        self.errors.warnings.push(Mistake {
            at,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    pub fn expected(&mut self, expected: &str, found: &Node, path: &str) {
        self.wrong(
            found.at,
            path,
            format!("expected {expected}, found {found}"),
        );
    }

    /// A mistake of the key at `path`, or of the file where the key is left to its default.
    pub fn contradiction(&mut self, path: &str, message: impl Into<String>) {
        self.mistake(self.given(path), path, message);
    }

    /// Where the file gives the key, if it does.
    pub fn given(&self, path: &str) -> Option<At> {
        self.positions.get(path).copied()
    }

    /// The entries of a mapping whose keys are text, each key once; says what is wrong with the others.
    pub fn entries<'n>(&mut self, node: &'n Node, path: &str) -> Vec<(&'n str, At, &'n Node)> {
        let Kind::Map(entries) = &node.kind else {
            return Vec::new();
        };
        let mut first: BTreeMap<&str, At> = BTreeMap::new();
        let mut found = Vec::new();
        for (key, value) in entries {
            let Kind::Text(name) = &key.kind else {
                self.wrong(
                    key.at,
                    path,
                    format!("a key must be text, found {key}; put it in quotes"),
                );
                continue;
            };
            let place = join(path, name);
            if let Some(before) = first.get(name.as_str()) {
                self.wrong(
                    key.at,
                    &place,
                    format!(
                        "given twice; the first is at line {}, column {}",
                        before.line, before.column
                    ),
                );
                continue;
            }
            first.insert(name, key.at);
            self.positions.insert(place, key.at);
            found.push((name.as_str(), key.at, value));
        }
        found
    }

    fn mistake(&mut self, at: Option<At>, path: &str, message: impl Into<String>) {
        self.errors.mistakes.push(Mistake {
            at,
            path: path.to_owned(),
            message: message.into(),
        });
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
