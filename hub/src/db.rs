//! The database: pool, migrations and keys; all SQL lives in its submodules and nothing above names a table.

mod announced;
pub mod audit;
pub mod auth_state;
pub mod groups;
pub mod health;
pub mod hubs;
pub mod imported;
pub mod jupyterhub;
pub mod leftovers;
mod lists;
mod look;
pub mod memo;
pub mod named_servers;
pub mod oauth;
pub mod progress;
pub mod queue;
pub mod quota;
pub mod roles;
pub mod routes;
pub mod runs;
pub mod secrets;
pub mod servers;
pub mod services;
pub mod sessions;
pub mod share_codes;
pub mod shares;
pub mod starts;
pub mod throttle;
pub mod tokens;
mod unit;
pub mod user_lists;
pub mod users;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection as _, SqlSafeStr};

use unit::Unit;

pub type DbError = sqlx::Error;
pub type Result<T, E = DbError> = std::result::Result<T, E>;

/// What `JupyterHub.db_url` names: SQLite by default, PostgreSQL for several replicas.
#[derive(Debug, Clone)]
pub struct Db {
    pool: AnyPool,
    sqlite: bool,
    memo: Arc<memo::Memo>,
    /// Random name of this run of the Hub, by which its work is known to others.
    hub: Arc<str>,
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database url must begin with sqlite: or postgresql:, not with {0:?}")]
    Scheme(String),
    #[error("could not create the database file {path}")]
    Create {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("could not open the database (JupyterHub.db_url, or hub.sqlite in the state folder)")]
    Connect(#[source] sqlx::Error),
    #[error("could not bring the database to this version's tables")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Db {
    /// Opens the database and applies the migrations it lacks.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        install_default_drivers();
        let scheme = url.split(':').next().unwrap_or_default();
        let sqlite = scheme == "sqlite";
        if !sqlite && scheme != "postgres" && scheme != "postgresql" {
            return Err(OpenError::Scheme(scheme.chars().take(20).collect()));
        }
        if sqlite {
            create_private(url)?;
        }
        try_connection(url, sqlite)
            .await
            .map_err(OpenError::Connect)?;
        let pool = AnyPoolOptions::new()
            .max_connections(if sqlite { 3 } else { 10 })
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| Box::pin(prepare(connection, sqlite)))
            .after_release(move |connection, _| Box::pin(is_sound(connection, sqlite)))
            .connect(url)
            .await
            .map_err(OpenError::Connect)?;
        migrator().run(&pool).await?;
        Ok(Self {
            pool,
            sqlite,
            memo: Arc::new(memo::Memo::new(url)),
            hub: uuid::Uuid::new_v4().simple().to_string().into(),
        })
    }

    /// The name by which the work of this run of the Hub is known to other Hubs on the same database.
    pub fn hub(&self) -> &str {
        &self.hub
    }

    /// The database's own clock, in milliseconds since 1970: that of several Hubs need not agree.
    fn clock(&self) -> &'static str {
        if self.sqlite {
            "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
        } else {
            "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
        }
    }

    /// Begins a transaction that will write. SQLite takes its write lock here, where it waits for other writers,
    /// and not at the first write, where a stale snapshot fails at once.
    async fn begin(&self) -> Result<Unit> {
        let begun = self
            .pool
            .begin_with(if self.sqlite {
                "BEGIN IMMEDIATE"
            } else {
                "BEGIN"
            })
            .await;
        begun.map(Unit::of)
    }

    pub async fn close(&self) {
        self.pool.close().await;
        self.memo.close();
    }
}

/// What a program has printed, which may hold NULs: PostgreSQL has no text with one.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A pool would try for long what fails at once.
async fn try_connection(url: &str, sqlite: bool) -> Result<()> {
    let mut connection = AnyConnection::connect(url).await?;
    prepare(&mut connection, sqlite).await?;
    connection.close().await
}

async fn prepare(connection: &mut AnyConnection, sqlite: bool) -> Result<()> {
    if sqlite {
        sqlx::raw_sql(SQLITE_PRAGMAS).execute(connection).await?;
    }
    Ok(())
}

/// Whether the pool may give a connection to the next one. A rollback that fails, as on a disk that is full, leaves it
/// within a transaction that nobody can end any more: such a connection is closed.
async fn is_sound(connection: &mut AnyConnection, sqlite: bool) -> Result<bool> {
    // SQLite's own knows of one that was dropped until it is rolled back: all others need no further request.
    if sqlite && !connection.is_in_transaction() {
        return Ok(true);
    }
    // A transaction that was dropped is rolled back with the next request.
    connection.ping().await?;
    let sound = !connection.is_in_transaction();
    if !sound {
        tracing::warn!("A connection whose transaction could not be ended is closed");
    }
    Ok(sound)
}

/// `NORMAL` loses no commit when the Hub is killed, only when the machine loses power. The page cache is small
/// because the working set is.
const SQLITE_PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
     PRAGMA foreign_keys = ON; PRAGMA cache_size = -512";

fn migrator() -> Migrator {
    let migrations = [
        (1, "hub", include_str!("../migrations/0001_hub.sql")),
        (2, "servers", include_str!("../migrations/0002_servers.sql")),
        (
            3,
            "accounts",
            include_str!("../migrations/0003_accounts.sql"),
        ),
        (4, "access", include_str!("../migrations/0004_access.sql")),
        (5, "shares", include_str!("../migrations/0005_shares.sql")),
        (6, "hubs", include_str!("../migrations/0006_hubs.sql")),
        (7, "audit", include_str!("../migrations/0007_audit.sql")),
        (
            8,
            "imported",
            include_str!("../migrations/0008_imported.sql"),
        ),
        (
            9,
            "services",
            include_str!("../migrations/0009_services.sql"),
        ),
        (
            10,
            "announced",
            include_str!("../migrations/0010_announced.sql"),
        ),
        (
            11,
            "auth_state",
            include_str!("../migrations/0011_auth_state.sql"),
        ),
        (
            12,
            "stop_told",
            include_str!("../migrations/0012_stop_told.sql"),
        ),
        (
            13,
            "last_state",
            include_str!("../migrations/0013_last_state.sql"),
        ),
    ];
    let migrations = migrations.into_iter().map(|(version, name, sql)| {
        let name = Cow::Borrowed(name);
        Migration::new(
            version,
            name,
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator {
        migrations: Cow::Owned(migrations.collect()),
        // While a newer Hub is rolled out, one of this version may start anew: migrations only ever add.
        ignore_missing: true,
        ..Migrator::DEFAULT
    }
}

/// The file of a SQLite database, as sqlx reads its URL; none where it is in memory.
fn sqlite_file(url: &str) -> Option<PathBuf> {
    let place = url.trim_start_matches("sqlite:").trim_start_matches("//");
    let (path, options) = place.split_once('?').unwrap_or((place, ""));
    let path = percent_decode_str(path).decode_utf8_lossy();
    let in_memory = path == ":memory:" || options.split('&').any(|option| option == "mode=memory");
    (!in_memory).then(|| PathBuf::from(&*path))
}

/// Creates the file before SQLite does, readable by its owner alone; SQLite gives its WAL the same mode.
fn create_private(url: &str) -> Result<(), OpenError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let Some(path) = sqlite_file(url).filter(|path| !path.exists()) else {
        return Ok(());
    };
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    created.map(drop).map_err(|source| OpenError::Create {
        path: path.display().to_string(),
        source,
    })
}

/// The least key of a row that is made at this time, in milliseconds.
fn first_id_at(time: i64) -> i64 {
    time << 21
}

/// A key for a new row: ordered by time of creation, with 21 random bits that keep apart those of several Hubs. The API
/// writes it within a text, as JupyterHub does: a JSON number does not hold it (2^53).
pub fn new_id() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let candidate = first_id_at(now()) + i64::from(rand::random::<u32>() >> 11);
    let previous = LAST.fetch_max(candidate, Ordering::Relaxed);
    if candidate > previous {
        candidate
    } else {
        LAST.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// `$1, $2, ...`; of no values a list that holds none.
fn places(count: usize) -> String {
    let places: Vec<String> = (1..=count).map(|place| format!("${place}")).collect();
    match count {
        0 => "NULL".to_owned(),
        _ => places.join(", "),
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// The time so many seconds from now.
pub fn after(seconds: i64) -> i64 {
    now().saturating_add(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) async fn database() -> (tempfile::TempDir, Db) {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("hub.sqlite").display());
        let db = Db::open(&url).await.unwrap();
        (folder, db)
    }

    /// More transactions than the pool has connections.
    async fn assert_usable(db: &Db) {
        for _ in 0..12 {
            let mut tx = db.begin().await.unwrap();
            sqlx::raw_sql("DELETE FROM login_tries")
                .execute(&mut *tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
    }

    /// What SQLite does by itself when the disk is full: the rollback that follows finds no transaction.
    #[tokio::test]
    async fn a_connection_whose_rollback_failed_is_closed() {
        let (_folder, db) = database().await;
        for _ in 0..4 {
            let mut tx = db.begin().await.unwrap();
            sqlx::raw_sql("ROLLBACK").execute(&mut *tx).await.unwrap();
            drop(tx);
        }
        assert_usable(&db).await;
    }

    #[tokio::test]
    async fn a_connection_whose_commit_failed_is_closed() {
        let (_folder, db) = database().await;
        for _ in 0..4 {
            let mut tx = db.begin().await.unwrap();
            sqlx::raw_sql("ROLLBACK").execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap_err();
        }
        assert_usable(&db).await;
    }

    #[tokio::test]
    async fn a_statement_that_rolls_back_by_itself_does_no_harm() {
        let (_folder, db) = database().await;
        for _ in 0..4 {
            let mut tx = db.begin().await.unwrap();
            let twice = "INSERT OR ROLLBACK INTO login_tries (key, tries, last_try) VALUES ('a', 0, 0), ('a', 0, 0)";
            sqlx::raw_sql(twice).execute(&mut *tx).await.unwrap_err();
        }
        assert_usable(&db).await;
    }
}
