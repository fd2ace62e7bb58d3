//! Whether somebody has written to the database since the last look, whoever that would be.
//!
//! It is one question: of SQLite the version of its data, of PostgreSQL the snapshot that a transaction would see now
//! (commits and nothing else change what is seen). SQLite tells from memory that all of its connections share, in less
//! time than another thread takes to wake: it is asked where one stands. One question of PostgreSQL is shared by the
//! requests that come together.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use rusqlite::OpenFlags;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::debug;

use super::{Result, sqlite_file};

/// How long all who ask wait for PostgreSQL.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum Look {
    Sqlite(Sqlite),
    Postgres(Postgres),
    /// A database in memory has no second connection.
    Never,
}

/// What the last look has seen.
#[derive(Debug)]
struct Last<C, V> {
    /// Never one that writes: SQLite counts the changes of other connections only.
    connection: Option<C>,
    seen: Option<V>,
    /// Grows with each change.
    state: u64,
}

impl Look {
    pub(super) fn new(url: &str) -> Self {
        match (url.starts_with("sqlite:"), sqlite_file(url)) {
            (false, _) => Self::Postgres(Postgres {
                url: url.to_owned(),
                looks: AtomicU64::new(0),
                last: Mutex::default(),
            }),
            (true, Some(file)) => Self::Sqlite(Sqlite {
                file,
                last: StdMutex::default(),
            }),
            (true, None) => Self::Never,
        }
    }

    /// Which state the database is in; none where that cannot be told.
    pub(super) async fn state(&self) -> Option<u64> {
        match self {
            Self::Sqlite(look) => look.state(),
            Self::Postgres(look) => look.state().await,
            Self::Never => None,
        }
    }

    /// Ends a connection to SQLite: the last that ends brings all that was written into the one file.
    pub(super) fn close(&self) {
        if let Self::Sqlite(look) = self {
            *look.last.lock().unwrap_or_else(PoisonError::into_inner) = Last::default();
        }
    }
}

impl<C, V: PartialEq> Last<C, V> {
    /// What was seen by a connection, which is kept.
    fn saw(&mut self, connection: C, seen: V) -> u64 {
        let seen = Some(seen);
        if seen != self.seen {
            self.state += 1;
        }
        (self.connection, self.seen) = (Some(connection), seen);
        self.state
    }
}

impl<C, V> Default for Last<C, V> {
    fn default() -> Self {
        Self {
            connection: None,
            seen: None,
            state: 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Sqlite {
    file: PathBuf,
    last: StdMutex<Last<rusqlite::Connection, i64>>,
}

impl Sqlite {
    fn state(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Both are lost where it fails: a new connection counts from the same number again.
        let (connection, seen) = (last.connection.take(), last.seen.take());
        match version(connection, &self.file) {
            Ok((connection, version)) => {
                last.seen = seen;
                Some(last.saw(connection, version))
            }
            Err(error) => {
                debug!(%error, "Could not ask whether the database has changed");
                None
            }
        }
    }
}

/// The number of its data, by this connection or by a new one.
fn version(
    connection: Option<rusqlite::Connection>,
    file: &Path,
) -> rusqlite::Result<(rusqlite::Connection, i64)> {
    let connection = match connection {
        Some(connection) => connection,
        None => {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = rusqlite::Connection::open_with_flags(file, flags)?;
            // Nobody waits here for who would hold the whole database.
            connection.busy_timeout(Duration::ZERO)?;
            connection
        }
    };
    let mut ask = connection.prepare_cached("PRAGMA data_version")?;
    let version = ask.query_row([], |row| row.get(0))?;
    drop(ask);
    Ok((connection, version))
}

#[derive(Debug)]
pub(super) struct Postgres {
    url: String,
    /// How many looks have begun.
    looks: AtomicU64,
    last: Mutex<Last<PgConnection, String>>,
}

impl Postgres {
    async fn state(&self) -> Option<u64> {
        let before = self.looks.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        // One that has begun since is as good as another, also where it has failed.
        if self.looks.load(Ordering::SeqCst) > before {
            return last.connection.as_ref().map(|_| last.state);
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
        // Both are lost where this future is dropped in between: the connection might give the answer to another question.
        let (connection, seen) = (last.connection.take(), last.seen.take());
        match timeout(PATIENCE, snapshot(connection, &self.url)).await {
            Ok(Ok((connection, snapshot))) => {
                last.seen = seen;
                Some(last.saw(connection, snapshot))
            }
            Ok(Err(error)) => {
                debug!(%error, "Could not ask whether the database has changed");
                None
            }
            Err(late) => {
                debug!(%late, "The database does not say whether it has changed");
                None
            }
        }
    }
}

/// What differs between any two states of the database, by this connection or by a new one.
async fn snapshot(connection: Option<PgConnection>, url: &str) -> Result<(PgConnection, String)> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => PgConnection::connect(url).await?,
    };
    let ask = sqlx::query_scalar("SELECT txid_current_snapshot()::text");
    let snapshot = ask.fetch_one(&mut connection).await?;
    Ok((connection, snapshot))
}
