//! Rows of servers; every change of state is a compare-and-set on the state and the start it belongs to.

use std::fmt;

use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

pub use super::announced::Announced;
use super::leftovers::remove_stopped;
use super::unit::{Unit, Write as _};
use super::users::User;
use super::{Db, Result, places, runs, without_nul};

/// How many values a statement may be given: SQLite and PostgreSQL both take more.
const MOST_AT_ONCE: usize = 1000;

/// Where a server is in its life: Stopped -> Pending -> Ready -> Stopping -> Stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Stopped,
    Pending,
    Ready,
    Stopping,
}

impl State {
    const ALL: [Self; 4] = [Self::Stopped, Self::Pending, Self::Ready, Self::Stopping];

    fn name(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
        }
    }
}

/// Why a server stops, with what is shown of it.
#[derive(Debug, Clone, Copy)]
pub enum Why<'a> {
    /// Somebody, or a rule of the Hub, has told one to that ran.
    Told(Option<&'a str>),
    /// It has died, its start has failed, or the Hub ends.
    Otherwise(Option<&'a str>),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone)]
pub struct Server {
    pub id: i64,
    pub user_id: i64,
    pub user: String,
    /// Empty for the default server.
    pub name: String,
    /// The name of its creation, under which the spawner keeps it.
    pub spawner_name: String,
    /// What people call it; empty for its name.
    pub display_name: String,
    pub state: State,
    pub start_id: String,
    pub spawner_state: Option<Value>,
    /// That of the start before, kept over stops.
    pub last_state: Option<Value>,
    pub user_options: Map<String, Value>,
    pub prefix: String,
    pub url: Option<String>,
    pub started: Option<i64>,
    pub last_activity: Option<i64>,
    pub failure: Option<String>,
    /// The Hub that carries out the latest start or stop.
    pub worker: String,
    /// The start waits in the queue: nothing of it was asked of the spawner.
    pub waits: bool,
    /// That the Hub will stop it; of a server that runs, see [`Server::ending`].
    pub announced: Option<Announced>,
}

impl Server {
    /// That the Hub will stop it, while it runs.
    pub fn ending(&self) -> Option<&Announced> {
        let announced = self.announced.as_ref();
        announced.filter(|_| self.state == State::Ready)
    }

    /// The default server of a user that has no row yet.
    pub fn never_started(user: &User, prefix: String) -> Self {
        Self {
            id: 0,
            user_id: user.id,
            user: user.name.clone(),
            name: String::new(),
            spawner_name: String::new(),
            display_name: String::new(),
            state: State::Stopped,
            start_id: String::new(),
            spawner_state: None,
            last_state: None,
            user_options: Map::new(),
            prefix,
            url: None,
            started: None,
            last_activity: None,
            failure: None,
            worker: String::new(),
            waits: false,
            announced: None,
        }
    }

    /// `alice`, or `alice/gpu` for a named server.
    pub fn full_name(&self) -> String {
        if self.name.is_empty() {
            self.user.clone()
        } else {
            format!("{}/{}", self.user, self.name)
        }
    }
}

impl FromRow<'_, AnyRow> for Server {
    fn from_row(row: &AnyRow) -> Result<Self> {
        let state: String = row.try_get("state")?;
        let options: String = row.try_get("user_options")?;
        let state_of = |column: &str| -> Result<Option<Value>> {
            let text: Option<String> = row.try_get(column)?;
            Ok(text.and_then(|json| serde_json::from_str(&json).ok()))
        };
        Ok(Self {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            user: row.try_get("user_name")?,
            name: row.try_get("name")?,
            spawner_name: row.try_get("spawner_name")?,
            display_name: row.try_get("display_name")?,
            state: State::ALL
                .into_iter()
                .find(|known| known.name() == state)
                .ok_or_else(|| {
                    sqlx::Error::Decode(format!("unknown state {state:?} of a server").into())
                })?,
            start_id: row.try_get("start_id")?,
            spawner_state: state_of("spawner_state")?,
            last_state: state_of("last_state")?,
            user_options: serde_json::from_str(&options).unwrap_or_default(),
            prefix: row.try_get("prefix")?,
            url: row.try_get("url")?,
            started: row.try_get("started")?,
            last_activity: row.try_get("last_activity")?,
            failure: row.try_get("failure")?,
            worker: row.try_get("worker")?,
            waits: row.try_get::<i64, _>("under_way")? == 0,
            announced: Announced::of(row)?,
        })
    }
}

/// What came of [`Db::set_stopped`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// It was stopped just now, and by [`Why::Told`].
    pub told: bool,
    /// The server was to be deleted, and is.
    pub removed: bool,
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT servers.*, users.name AS user_name FROM servers JOIN users ON users.id = servers.user_id ", $rest)
    };
}

/// What every [`Server`] is read by.
pub(super) fn select_servers() -> &'static str {
    select!("")
}

impl Db {
    pub async fn server(&self, user: &str, name: &str) -> Result<Option<Server>> {
        sqlx::query_as(select!("WHERE users.name = $1 AND servers.name = $2"))
            .bind(user.to_owned())
            .bind(name.to_owned())
            .fetch_optional(&self.pool)
            .await
    }

    pub async fn server_by_id(&self, id: i64) -> Result<Option<Server>> {
        sqlx::query_as(select!("WHERE servers.id = $1"))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
    }

    /// The server whose latest start has this name.
    pub async fn server_of_start(&self, start_id: &str) -> Result<Option<Server>> {
        sqlx::query_as(select!("WHERE servers.start_id = $1"))
            .bind(start_id.to_owned())
            .fetch_optional(&self.pool)
            .await
    }

    /// The server whose base URL is `prefix`.
    pub async fn server_at(&self, prefix: &str) -> Result<Option<Server>> {
        sqlx::query_as(select!("WHERE servers.prefix = $1"))
            .bind(prefix.to_owned())
            .fetch_optional(&self.pool)
            .await
    }

    pub async fn count_ready_servers(&self) -> Result<i64> {
        let (count,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM servers WHERE state = 'ready'")
            .fetch_one(&self.pool)
            .await?;
        Ok(count)
    }

    /// Servers that are stopped although their latest start is one of these.
    pub async fn stopped_servers_of(&self, start_ids: &[String]) -> Result<Vec<Server>> {
        let mut servers = Vec::new();
        for some in start_ids.chunks(MOST_AT_ONCE) {
            let select = format!(
                select!("WHERE state = 'stopped' AND servers.start_id IN ({})"),
                places(some.len())
            );
            let mut query = sqlx::query_as(AssertSqlSafe(select));
            for start_id in some {
                query = query.bind(start_id.to_owned());
            }
            servers.extend(query.fetch_all(&self.pool).await?);
        }
        Ok(servers)
    }

    pub async fn servers_of(&self, user_id: i64) -> Result<Vec<Server>> {
        sqlx::query_as(select!("WHERE user_id = $1 ORDER BY servers.name"))
            .bind(user_id)
            .fetch_all(&self.pool)
            .await
    }

    /// Every server that is not stopped.
    pub async fn active_servers(&self) -> Result<Vec<Server>> {
        sqlx::query_as(select!("WHERE state <> 'stopped' ORDER BY servers.id"))
            .fetch_all(&self.pool)
            .await
    }

    /// Keeps what the spawner needs to find the server again, while the start or the server is this one.
    pub async fn save_spawner_state(&self, id: i64, start_id: &str, state: &Value) -> Result<()> {
        sqlx::query("UPDATE servers SET spawner_state = $1 WHERE id = $2 AND start_id = $3")
            .bind(state.to_string())
            .bind(id)
            .bind(start_id.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Keeps the new address of a ready server; false where it is not this start's any more.
    pub async fn set_moved(
        &self,
        id: i64,
        start_id: &str,
        url: &str,
        state: &Value,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE servers SET url = $1, spawner_state = $2 WHERE id = $3 AND start_id = $4 AND state = 'ready'",
        )
        .bind(url.to_owned())
        .bind(state.to_string())
        .bind(id)
        .bind(start_id.to_owned())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// `from` -> Stopping; false where the server is in another state. A server that was ready is this Hub's to stop; a start
    /// is stopped by the Hub that carries it out.
    pub async fn set_stopping(
        &self,
        id: i64,
        start_id: &str,
        from: State,
        why: Why<'_>,
    ) -> Result<bool> {
        let (Why::Told(failure) | Why::Otherwise(failure)) = why;
        let done = sqlx::query(
            "UPDATE servers SET state = 'stopping', failure = $1, stop_is_told = $6, \
             worker = CASE WHEN state = 'ready' THEN $5 ELSE worker END \
             WHERE id = $2 AND start_id = $3 AND state = $4",
        )
        .bind(failure.map(without_nul))
        .bind(id)
        .bind(start_id.to_owned())
        .bind(from.name().to_owned())
        .bind(self.hub().to_owned())
        .bind(i64::from(matches!(why, Why::Told(_))))
        .write(self)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stopping -> Stopped; revokes the server's own token and all that its OAuth client holds. Deletes the server
    /// where [`Db::request_removal`] asked for it.
    pub async fn set_stopped(&self, id: i64, start_id: &str) -> Result<Stopped> {
        let mut tx = self.begin().await?;
        let update = "UPDATE servers SET state = 'stopped', last_state = COALESCE(spawner_state, last_state), spawner_state = NULL, url = NULL, \
                      stops_at = NULL \
                      WHERE id = $1 AND start_id = $2 AND state = 'stopping' RETURNING remove_requested, stop_is_told";
        let done: Option<(i64, i64)> = sqlx::query_as(update)
            .bind(id)
            .bind(start_id.to_owned())
            .fetch_optional(&mut *tx)
            .await?;
        let mut removed = false;
        if let Some((remove_requested, _)) = done {
            runs::end(&mut tx, id).await?;
            sqlx::query("DELETE FROM api_tokens WHERE server_id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM oauth_clients WHERE server_id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
            removed = remove_requested != 0 && remove_stopped(&mut tx, id).await?;
        }
        tx.commit().await?;
        Ok(Stopped {
            told: done.is_some_and(|(_, told)| told != 0),
            removed,
        })
    }

    /// Moves the time of last activity forward, never back; what was told of the end of a server that is used is withdrawn.
    pub async fn server_was_active(&self, id: i64, at: i64) -> Result<()> {
        sqlx::query(
            "UPDATE servers SET last_activity = $1, stops_at = CASE WHEN stop_is_final = 1 THEN stops_at ELSE NULL END \
             WHERE id = $2 AND (last_activity IS NULL OR last_activity < $1)",
        )
        .bind(at)
        .bind(id)
        .write(self)
        .await?;
        Ok(())
    }
}

/// Whether the user has a server of this name.
pub(super) async fn is_known(tx: &mut Unit, user_id: i64, name: &str) -> Result<bool> {
    let row: Option<(i64,)> =
        sqlx::query_as("SELECT id FROM servers WHERE user_id = $1 AND name = $2")
            .bind(user_id)
            .bind(name.to_owned())
            .fetch_optional(&mut **tx)
            .await?;
    Ok(row.is_some())
}
