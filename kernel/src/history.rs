//! The input history: an SQLite file that all kernels of a person share, on a thread of its own.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::{Connection, Row, TransactionBehavior, params};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::wire::content::{HistoryAccess, HistoryRequest};

/// Cells kept of all sessions; the oldest are deleted when a kernel starts.
const KEPT: i64 = 10_000;
/// A longer cell is not kept.
const MOST_INPUT: usize = 256 * 1024;
/// A longer result is kept up to here.
const MOST_OUTPUT: usize = 16 * 1024;
/// How long another kernel may hold the file.
const BUSY: Duration = Duration::from_secs(2);
/// Cells of this session whose words complete others.
const RECENT: usize = 200;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS sessions (session INTEGER PRIMARY KEY AUTOINCREMENT, started TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS cells (
        session INTEGER NOT NULL, line INTEGER NOT NULL, input TEXT NOT NULL, output TEXT,
        PRIMARY KEY (session, line)
    );";
const INSERT: &str =
    "INSERT OR REPLACE INTO cells (session, line, input, output) VALUES (?1, ?2, ?3, ?4)";
const NEWEST_FIRST: &str =
    "SELECT session, line, input, output FROM cells ORDER BY session DESC, line DESC";
const RANGE: &str = "SELECT session, line, input, output FROM cells
    WHERE session = ?1 AND line >= ?2 AND line < ?3 ORDER BY line DESC";
const MATCHES_NEWEST_FIRST: &str = "SELECT session, line, input, output FROM cells
    WHERE input GLOB ?1 ORDER BY session DESC, line DESC";
const THIS_SESSION: &str = "SELECT session, line, input, output FROM cells
    WHERE session = ?1 ORDER BY line DESC";

#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// A handle to the history; clones share it.
#[derive(Debug, Clone)]
pub struct History {
    jobs: mpsc::Sender<Job>,
}

enum Job {
    Store(Cell),
    Answer(HistoryRequest, oneshot::Sender<Value>),
    Recent(oneshot::Sender<Vec<String>>),
}

struct Cell {
    line: u32,
    input: String,
    output: Option<String>,
}

impl History {
    /// The history in the user's data folder.
    pub fn of_user() -> Self {
        Self::start(user_file())
    }

    /// The history in this file. If it cannot be opened, that is logged and cells are kept in memory: they matter more.
    pub fn open(path: &Path) -> Self {
        Self::start(Some(path.to_owned()))
    }

    pub fn in_memory() -> Self {
        Self::start(None)
    }

    fn start(path: Option<PathBuf>) -> Self {
        let (jobs, queue) = mpsc::channel();
        let thread = std::thread::Builder::new().name("history".to_owned());
        let started = thread.spawn(move || match Store::open(path.as_deref()) {
            Ok(mut store) => store.serve(&queue),
            Err(error) => tracing::error!("There is no history: {error}"),
        });
        if let Err(error) = started {
            tracing::error!("There is no history: {error}");
        }
        Self { jobs }
    }

    /// Remembers one cell.
    pub fn store(&self, line: u32, input: &str, output: Option<String>) {
        let input = input.to_owned();
        self.put(Job::Store(Cell {
            line,
            input,
            output,
        }));
    }

    /// Content of `history_reply`.
    pub async fn answer(&self, request: HistoryRequest) -> Value {
        let (sender, answer) = oneshot::channel();
        self.put(Job::Answer(request, sender));
        let empty = || json!({ "status": "ok", "history": [] });
        answer.await.unwrap_or_else(|_| empty())
    }

    /// The newest cells of this session.
    pub async fn recent_inputs(&self) -> Vec<String> {
        let (sender, inputs) = oneshot::channel();
        self.put(Job::Recent(sender));
        inputs.await.unwrap_or_default()
    }

    /// Waits until all is stored; not longer than `limit`.
    pub async fn flush(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.recent_inputs()).await;
    }

    fn put(&self, job: Job) {
        // Without a thread there is no history, which was logged.
        let _ = self.jobs.send(job);
    }
}

/// The open file and this kernel's session in it.
struct Store {
    database: Connection,
    session: i64,
}

struct Entry {
    session: i64,
    line: i64,
    input: String,
    output: Option<String>,
}

impl Store {
    fn open(path: Option<&Path>) -> Result<Self, HistoryError> {
        let Some(path) = path else {
            return Ok(Self::begin(Connection::open_in_memory()?)?);
        };
        let opened = open_file(path).and_then(|database| Ok(Self::begin(database)?));
        opened.or_else(|error| {
            tracing::warn!(
                "The history {} is not kept, only that of this kernel in memory: {error}",
                path.display()
            );
            Self::open(None)
        })
    }

    fn begin(mut database: Connection) -> rusqlite::Result<Self> {
        // Immediate, for two that read first could not both go on to write.
        let begun = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        begun.execute_batch(SCHEMA)?;
        begun.execute(
            "INSERT INTO sessions (started) VALUES (?1)",
            [jiff::Timestamp::now().to_string()],
        )?;
        let session = begun.last_insert_rowid();
        trim(&begun)?;
        begun.commit()?;
        Ok(Self { database, session })
    }

    fn serve(&mut self, queue: &mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(job) = next.take().or_else(|| queue.recv().ok()) {
            // Who asked may have given up waiting.
            match job {
                Job::Store(cell) => {
                    let stored = self.store_all(cell, queue, &mut next);
                    if let Err(error) = stored {
                        tracing::warn!("A cell is not in the history: {error}");
                    }
                }
                Job::Answer(request, answer) => {
                    let _ = answer.send(self.answer(&request));
                }
                Job::Recent(inputs) => {
                    let found = self.find(THIS_SESSION, params![self.session], Some(RECENT), false);
                    let found = found.into_iter().map(|entry| entry.input).collect();
                    let _ = inputs.send(found);
                }
            }
        }
    }

    /// Stores a cell and those right behind it in one transaction, for each waits for the disk. Gives the job after them.
    fn store_all(
        &mut self,
        cell: Cell,
        queue: &mpsc::Receiver<Job>,
        next: &mut Option<Job>,
    ) -> rusqlite::Result<()> {
        let transaction = self.database.transaction()?;
        store(&transaction, self.session, cell)?;
        while let Ok(job) = queue.try_recv() {
            match job {
                Job::Store(cell) => store(&transaction, self.session, cell)?,
                job => {
                    *next = Some(job);
                    break;
                }
            }
        }
        transaction.commit()
    }

    fn answer(&self, request: &HistoryRequest) -> Value {
        let found = match &request.access {
            HistoryAccess::Tail { n } => self.find(NEWEST_FIRST, [], *n, false),
            HistoryAccess::Range {
                session,
                start,
                stop,
            } => self.range(*session, *start, *stop),
            HistoryAccess::Search { pattern, n, unique } => {
                let pattern = pattern.as_deref().unwrap_or("*");
                self.find(MATCHES_NEWEST_FIRST, [pattern], *n, *unique)
            }
        };
        let history: Vec<Value> = found
            .into_iter()
            .map(|entry| entry.tuple(request.output))
            .collect();
        json!({ "status": "ok", "history": history })
    }

    fn range(&self, session: i64, start: i64, stop: Option<i64>) -> Vec<Entry> {
        let session = match session <= 0 {
            true => self.session.saturating_add(session),
            false => session,
        };
        let stop = stop.unwrap_or(i64::MAX);
        self.find(RANGE, params![session, start, stop], None, false)
    }

    /// Rows of a query that gives the newest first: at most `n` of them, the oldest first; of equal inputs only the
    /// newest if `unique`.
    fn find(
        &self,
        query: &str,
        parameters: impl rusqlite::Params,
        n: Option<usize>,
        unique: bool,
    ) -> Vec<Entry> {
        let read = || {
            let mut statement = self.database.prepare_cached(query)?;
            let mut rows = statement.query(parameters)?;
            let (mut found, mut seen) = (Vec::new(), HashSet::new());
            while found.len() < n.unwrap_or(usize::MAX)
                && let Some(row) = rows.next()?
            {
                let entry = Entry::read(row)?;
                if !unique || seen.insert(entry.input.clone()) {
                    found.push(entry);
                }
            }
            found.reverse();
            Ok(found)
        };
        read().unwrap_or_else(|error: rusqlite::Error| {
            tracing::warn!("The history cannot be read: {error}");
            Vec::new()
        })
    }
}

impl Entry {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            session: row.get(0)?,
            line: row.get(1)?,
            input: row.get(2)?,
            output: row.get(3)?,
        })
    }

    fn tuple(&self, with_output: bool) -> Value {
        if with_output {
            json!([self.session, self.line, [self.input, self.output]])
        } else {
            json!([self.session, self.line, self.input])
        }
    }
}

fn store(database: &Connection, session: i64, cell: Cell) -> rusqlite::Result<()> {
    let (line, input, mut output) = (cell.line, cell.input, cell.output);
    if input.len() > MOST_INPUT {
        tracing::info!("Cell [{line}] is too long for the history");
        return Ok(());
    }
    if let Some(text) = &mut output {
        text.truncate(text.floor_char_boundary(MOST_OUTPUT));
    }
    let mut insert = database.prepare_cached(INSERT)?;
    insert.execute(params![session, line, input, output])?;
    Ok(())
}

/// `$XDG_DATA_HOME/carrel/history.sqlite`.
fn user_file() -> Option<PathBuf> {
    let data = crate::paths::user_data()?;
    Some(data.join("carrel").join("history.sqlite"))
}

fn open_file(path: &Path) -> Result<Connection, HistoryError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Only its user may read what was typed.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY)?;
    Ok(database)
}

/// Deletes the oldest cells beyond [`KEPT`], and sessions before the oldest cell.
fn trim(database: &Connection) -> rusqlite::Result<()> {
    database.execute(
        "DELETE FROM cells WHERE (session, line) <= (
            SELECT session, line FROM cells ORDER BY session DESC, line DESC LIMIT 1 OFFSET ?1)",
        [KEPT],
    )?;
    database.execute(
        "DELETE FROM sessions WHERE session < (SELECT min(session) FROM cells)",
        [],
    )?;
    Ok(())
}
