//! The input history: in memory for this session, as JSON lines on disk for the next ones.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::wire::content::{HistoryAccess, HistoryRequest};

/// Entries kept of earlier sessions; the file is cut to them when a kernel starts.
const KEPT: usize = 10_000;
/// A longer cell is kept in memory only.
const MAX_ENTRY_BYTES: usize = 256 * 1024;

/// Inputs (and result texts) by session and line.
pub struct History {
    entries: Vec<Entry>,
    session: i64,
    file: Option<File>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    session: i64,
    line: i64,
    input: String,
    output: Option<String>,
}

impl History {
    /// The history in the user's data folder. A history that cannot be read or written is logged and kept
    /// in memory: cells matter more.
    pub fn of_user() -> Self {
        let Some(path) = user_file() else {
            return Self::in_memory();
        };
        Self::open(&path).unwrap_or_else(|error| {
            tracing::warn!("The history {} is not kept: {error}", path.display());
            Self::in_memory()
        })
    }

    pub fn in_memory() -> Self {
        Self {
            entries: Vec::new(),
            session: 1,
            file: None,
        }
    }

    /// Reads the file, cuts it to the newest entries and opens it for appending; only its user may read it.
    pub fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut entries = read(path)?;
        if entries.len() > 2 * KEPT {
            entries.drain(..entries.len() - KEPT);
            rewrite(path, &entries)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        let session = entries.iter().map(|entry| entry.session).max().unwrap_or(0) + 1;
        Ok(Self {
            entries,
            session,
            file: Some(file),
        })
    }

    /// Remembers one cell.
    pub fn store(&mut self, line: u32, input: &str, output: Option<String>) {
        let entry = Entry {
            session: self.session,
            line: line.into(),
            input: input.to_owned(),
            output,
        };
        if let Some(file) = &mut self.file
            && let Ok(mut text) = serde_json::to_vec(&entry)
            && text.len() <= MAX_ENTRY_BYTES
        {
            text.push(b'\n');
            // One write, so that kernels which share the file do not mix their lines.
            if let Err(error) = file.write_all(&text) {
                tracing::warn!("The history is no longer written: {error}");
                self.file = None;
            }
        }
        self.entries.push(entry);
    }

    /// Inputs of this session, oldest first.
    pub fn inputs_of_this_session(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|entry| entry.session == self.session)
            .map(|entry| entry.input.as_str())
    }

    /// Content of `history_reply`.
    pub fn answer(&self, request: &HistoryRequest) -> Value {
        let found = match &request.access {
            HistoryAccess::Tail { n } => last(self.entries.iter().collect(), *n),
            HistoryAccess::Range {
                session,
                start,
                stop,
            } => self.range(*session, *start, *stop),
            HistoryAccess::Search { pattern, n, unique } => {
                self.search(pattern.as_deref(), *n, *unique)
            }
        };
        let history: Vec<Value> = found
            .into_iter()
            .map(|entry| entry.tuple(request.output))
            .collect();
        json!({ "status": "ok", "history": history })
    }

    fn range(&self, session: i64, start: i64, stop: Option<i64>) -> Vec<&Entry> {
        let session = if session <= 0 {
            self.session.saturating_add(session)
        } else {
            session
        };
        let inside = |line: i64| line >= start && stop.is_none_or(|stop| line < stop);
        self.entries
            .iter()
            .filter(|entry| entry.session == session && inside(entry.line))
            .collect()
    }

    fn search(&self, pattern: Option<&str>, n: Option<usize>, unique: bool) -> Vec<&Entry> {
        let pattern: Vec<char> = pattern.unwrap_or("*").chars().collect();
        let mut found: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| glob(&pattern, &entry.input))
            .collect();
        if unique {
            // The newest of equal inputs stays.
            let mut seen = HashSet::new();
            found.reverse();
            found.retain(|entry| seen.insert(entry.input.as_str()));
            found.reverse();
        }
        last(found, n)
    }
}

impl Entry {
    fn tuple(&self, with_output: bool) -> Value {
        if with_output {
            json!([self.session, self.line, [self.input, self.output]])
        } else {
            json!([self.session, self.line, self.input])
        }
    }
}

/// `$XDG_DATA_HOME/carrel/history.jsonl`.
fn user_file() -> Option<PathBuf> {
    let data = crate::kernelspec::user_data()?;
    Some(data.join("carrel").join("history.jsonl"))
}

fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // A line cut off by a crash is passed over.
    Ok(text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

fn rewrite(path: &Path, entries: &[Entry]) -> io::Result<()> {
    let new = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(&text)?;
    fs::rename(&new, path)
}

fn last(mut entries: Vec<&Entry>, n: Option<usize>) -> Vec<&Entry> {
    if let Some(n) = n {
        entries.drain(..entries.len().saturating_sub(n));
    }
    entries
}

/// Whether `text` matches a pattern of `*` (any text) and `?` (one character), in linear memory.
fn glob(pattern: &[char], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == '?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}
