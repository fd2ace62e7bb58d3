//! Reads a file of the corpus: sessions of cells, each with its expected outcome. `tests/corpus/README.md` has the format.

use std::fmt::{self, Write};

/// A file of `tests/corpus`.
#[derive(Debug)]
pub struct File {
    pub name: String,
    pub sessions: Vec<Session>,
}

/// Cells that one notebook runs from its start.
#[derive(Debug, Default)]
pub struct Session {
    pub line: usize,
    pub cells: Vec<Cell>,
    /// Why a cell of it ends differently on evcxr.
    pub evcxr: Option<String>,
}

#[derive(Debug, Default)]
pub struct Cell {
    /// Line of the file where its code begins.
    pub line: usize,
    pub code: String,
    pub expected: Outcome,
    pub evcxr: Option<Difference>,
}

/// A cell that ends differently on evcxr.
#[derive(Debug)]
pub struct Difference {
    pub reason: String,
    /// How it ends there, where that is said.
    pub outcome: Option<Outcome>,
}

/// How a cell ends. What is not there must not come either, except for `vars`.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Outcome {
    pub value: Option<String>,
    pub value_has: Vec<String>,
    pub prints: Vec<String>,
    pub prints_lines: Option<usize>,
    pub stderr: Vec<String>,
    pub shows: Vec<String>,
    pub error: Option<(String, String)>,
    pub error_has: Vec<String>,
    /// Variables that are there after the cell.
    pub vars: Option<Vec<String>>,
    /// It has no end, so it is not run.
    pub waits: bool,
}

/// Reads a file; the error names its line.
pub fn read(name: &str, text: &str) -> Result<File, String> {
    let mut sessions: Vec<Session> = Vec::new();
    let mut lines = text.lines().enumerate();
    // Whether lines of the list tell about the cell before them.
    let mut told = Told::Nothing;
    while let Some((index, line)) = lines.next() {
        let wrong = |what: &str| Err(format!("{name}.md:{}: {what}: {line}", index + 1));
        if line.starts_with("## ") {
            sessions.push(Session {
                line: index + 1,
                ..Session::default()
            });
            told = Told::Session;
        } else if line == "```rust" {
            let Some(session) = sessions.last_mut() else {
                return wrong("a cell before the first `## ` heading");
            };
            let code: Vec<&str> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            session.cells.push(Cell {
                line: index + 2,
                code: code.join("\n"),
                ..Cell::default()
            });
            told = Told::Cell;
        } else if let Some((inner, key, text)) = list_item(line) {
            let Some(session) = sessions.last_mut() else {
                continue;
            };
            if let Err(what) = told.add(session, inner, key, text) {
                return wrong(&what);
            }
        } else if line.trim().is_empty() && told != Told::Session {
            told = Told::Nothing;
        }
    }
    Ok(File {
        name: name.to_owned(),
        sessions,
    })
}

/// `- key: text`, or the same one level deeper.
fn list_item(line: &str) -> Option<(bool, &str, &str)> {
    let (inner, item) = match line.strip_prefix("  - ") {
        Some(item) => (true, item),
        None => (false, line.strip_prefix("- ")?),
    };
    let (key, text) = item.split_once(':').unwrap_or((item, ""));
    Some((inner, key, text.strip_prefix(' ').unwrap_or(text)))
}

#[derive(PartialEq)]
enum Told {
    Nothing,
    Session,
    Cell,
}

impl Told {
    fn add(&self, session: &mut Session, inner: bool, key: &str, text: &str) -> Result<(), String> {
        match (self, session.cells.last_mut()) {
            (Self::Session, None) if key == "evcxr" => session.evcxr = Some(text.to_owned()),
            (Self::Cell, Some(cell)) => match (inner, key, &mut cell.evcxr) {
                (false, "evcxr", evcxr) => {
                    *evcxr = Some(Difference {
                        reason: text.to_owned(),
                        outcome: None,
                    });
                }
                (false, ..) => cell.expected.add(key, text)?,
                (true, _, Some(evcxr)) => {
                    let outcome = evcxr.outcome.get_or_insert_default();
                    outcome.add(key, text)?;
                }
                (true, _, None) => return Err("what evcxr does needs its reason above".to_owned()),
            },
            _ => return Err("this tells of no cell".to_owned()),
        }
        Ok(())
    }
}

impl Outcome {
    fn add(&mut self, key: &str, text: &str) -> Result<(), String> {
        let text = text.to_owned();
        match key {
            "nothing" => {}
            "waits for ever" => self.waits = true,
            "value" => self.value = Some(text),
            "value has" => self.value_has.push(text),
            "prints" => self.prints.push(text),
            "prints lines" => {
                let count = text.parse().map_err(|_| "no number".to_owned())?;
                self.prints_lines = Some(count);
            }
            "stderr" => self.stderr.push(text),
            "shows" => self.shows.push(text),
            "error" => {
                let (kind, phrase) = text.split_once(": ").unwrap_or((&text, ""));
                self.error = Some((kind.to_owned(), phrase.to_owned()));
            }
            "error has" => self.error_has.push(text),
            "vars" if text == "none" => self.vars = Some(Vec::new()),
            "vars" => self.vars = Some(text.split(", ").map(str::to_owned).collect()),
            _ => return Err(format!("`{key}` is no part of an outcome")),
        }
        Ok(())
    }
}

/// As the file has it.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let mut item = |key: &str, value: &str| {
            let _ = writeln!(text, "- {key}: {value}");
        };
        if let Some(value) = &self.value {
            item("value", value);
        }
        let several = [
            ("prints", &self.prints),
            ("stderr", &self.stderr),
            ("shows", &self.shows),
        ];
        for (key, values) in several {
            values.iter().for_each(|value| item(key, value));
        }
        if let Some((kind, phrase)) = &self.error {
            item("error", &format!("{kind}: {phrase}"));
        }
        match self.vars.as_deref() {
            Some([]) => item("vars", "none"),
            Some(names) => item("vars", &names.join(", ")),
            None => {}
        }
        f.write_str(match text.as_str() {
            "" => "- nothing\n",
            text => text,
        })
    }
}
