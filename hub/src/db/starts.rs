//! Starts of servers: what is written down before the spawner is called, and what comes of it.

use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use super::leftovers::has_left;
use super::named_servers::has_too_many;
use super::queue::{admit, lock_starts};
use super::quota::{Limit, Over, exceeded};
use super::servers::{Server, is_known, select_servers};
use super::tokens::{NewToken, insert_token};
use super::unit::{Unit, Write as _};
use super::users::hold_user;
use super::{Db, Result, new_id, now, runs, without_nul};

/// All that a start writes down before the spawner is called.
#[derive(Debug)]
pub struct NewStart<'a> {
    pub user_id: i64,
    pub name: &'a str,
    /// What it is to be called from now on.
    pub display_name: Option<&'a str>,
    pub start_id: &'a str,
    pub prefix: &'a str,
    /// None for those of the last time.
    pub user_options: Option<&'a Map<String, Value>>,
    pub client_id: &'a str,
    pub redirect_uri: &'a str,
    pub allowed_scopes: &'a [String],
    /// The server's own token, which is its client secret as well.
    pub token_hash: &'a str,
    pub token_scopes: &'a [String],
    pub token_note: &'a str,
    /// The start that this one takes the place of; empty where there is none.
    pub replaces: &'a str,
    /// Its place in the queue, among those of others.
    pub place: i64,
    /// How many starts may be under way at a time; 0 for any number.
    pub concurrent_spawn_limit: u32,
    /// How many named servers the user may have with this one; 0 for any number.
    pub named_limit: u32,
    /// How many servers may be active with this one; 0 for any number.
    pub active_server_limit: u32,
    /// What the active servers of the user may take together.
    pub limits: &'a [Limit],
    /// What this one takes: bytes, and thousandths of a core.
    pub memory: i64,
    pub cpu: i64,
}

/// What became of a [`NewStart`].
#[derive(Debug, Clone)]
pub enum Attempt {
    /// The server as it is written down now.
    Begun(Box<Server>),
    /// The server is not stopped.
    NotStopped,
    /// As many servers as may be are active.
    TooMany,
    /// The user has as many named servers as may be.
    TooManyNamed,
    /// The user's servers would take too much.
    OverQuota(Limit, Over),
    /// What a deleted server of this name has left is not gone yet.
    NotGone,
}

impl Db {
    /// Stopped -> Pending, with the OAuth client and the token of this start.
    pub async fn begin_start(&self, start: NewStart<'_>) -> Result<Attempt> {
        let mut tx = self.begin().await?;
        // In the order of all: the user, the count of starts, rows. Who admits starts holds no user.
        hold_user(&mut tx, start.user_id).await?;
        if !start.replaces.is_empty() {
            lock_starts(&mut tx).await?;
        }
        let options = start
            .user_options
            .map(|options| Value::Object(options.clone()).to_string());
        let insert = "INSERT INTO servers (id, user_id, name, spawner_name, state, start_id, user_options, prefix) \
                      VALUES ($1, $2, $3, $3, 'stopped', '', '{}', $4) ON CONFLICT DO NOTHING";
        let inserted = sqlx::query(insert)
            .bind(new_id())
            .bind(start.user_id)
            .bind(start.name.to_owned())
            .bind(start.prefix.to_owned())
            .execute(&mut *tx)
            .await?;
        let is_new = inserted.rows_affected() > 0 && !start.name.is_empty();
        if is_new && has_too_many(&mut tx, start.user_id, start.named_limit).await? {
            return Ok(Attempt::TooManyNamed);
        }
        let update = "UPDATE servers SET state = 'pending', start_id = $1, user_options = COALESCE($2, user_options), prefix = $3, \
                      last_state = COALESCE(spawner_state, last_state), spawner_state = NULL, url = NULL, failure = NULL, started = $4, stop_is_told = 0, \
                      display_name = COALESCE($8, display_name), worker = $9, under_way = $10, memory = $12, cpu = $13, \
                      place = CASE WHEN state = 'pending' THEN place ELSE $11 END \
                      WHERE user_id = $5 AND name = $6 AND remove_requested = 0 \
                      AND (state = 'stopped' OR (state = 'pending' AND start_id = $7)) RETURNING id";
        let updated: Option<(i64,)> = sqlx::query_as(update)
            .bind(start.start_id.to_owned())
            .bind(options)
            .bind(start.prefix.to_owned())
            .bind(now())
            .bind(start.user_id)
            .bind(start.name.to_owned())
            .bind(start.replaces.to_owned())
            .bind(start.display_name.map(str::to_owned))
            .bind(self.hub().to_owned())
            .bind(i64::from(start.concurrent_spawn_limit == 0))
            .bind(start.place)
            .bind(start.memory)
            .bind(start.cpu)
            .fetch_optional(&mut *tx)
            .await?;
        let Some((id,)) = updated else {
            // No row was added either where a server that was renamed still keeps its files under this name.
            return Ok(if is_known(&mut tx, start.user_id, start.name).await? {
                Attempt::NotStopped
            } else {
                Attempt::NotGone
            });
        };
        if has_left(&mut tx, start.user_id, start.name).await? {
            return Ok(Attempt::NotGone);
        }
        sqlx::query("DELETE FROM progress_events WHERE server_id = $1")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        runs::begin(&mut tx, id, start.start_id, start.replaces).await?;
        upsert_client(&mut tx, id, &start).await?;
        let token = NewToken {
            token_hash: start.token_hash,
            user_id: Some(start.user_id),
            server_id: Some(id),
            scopes: start.token_scopes,
            note: start.token_note,
            ..NewToken::default()
        };
        insert_token(&mut *tx, token).await?;
        if let Some(refused) = refused(&mut tx, id, &start).await? {
            return Ok(refused);
        }
        let server = sqlx::query_as(AssertSqlSafe(format!(
            "{} WHERE servers.id = $1",
            select_servers()
        )))
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Attempt::Begun(Box::new(server)))
    }

    /// Pending -> Ready; false where the start was cancelled meanwhile. The server may have reported activity already.
    pub async fn set_ready(&self, id: i64, start_id: &str, url: &str) -> Result<bool> {
        let mut tx = self.begin().await?;
        let now = now();
        let done = sqlx::query(
            "UPDATE servers SET state = 'ready', url = $1, last_activity = \
             CASE WHEN last_activity > $2 THEN last_activity ELSE $2 END \
             WHERE id = $3 AND start_id = $4 AND state = 'pending'",
        )
        .bind(url.to_owned())
        .bind(now)
        .bind(id)
        .bind(start_id.to_owned())
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("UPDATE runs SET ready = $1 WHERE start_id = $2 AND ready IS NULL")
            .bind(now)
            .bind(start_id.to_owned())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Pending -> Stopping by the start itself, which has failed; false where it is over or another Hub's by now.
    pub async fn fail_start(&self, id: i64, start_id: &str, failure: &str) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE servers SET state = 'stopping', failure = $1 \
             WHERE id = $2 AND start_id = $3 AND state = 'pending' AND worker = $4",
        )
        .bind(without_nul(failure))
        .bind(id)
        .bind(start_id.to_owned())
        .bind(self.hub().to_owned())
        .write(self)
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// Why there is no room for another server, if there is none; it gets its place among those under way where one is free.
/// Last of all: who counts has others wait.
async fn refused(tx: &mut Unit, id: i64, start: &NewStart<'_>) -> Result<Option<Attempt>> {
    let unlimited = start.active_server_limit == 0 && start.concurrent_spawn_limit == 0;
    if unlimited && start.limits.is_empty() {
        return Ok(None);
    }
    lock_starts(tx).await?;
    if let Some((limit, over)) = exceeded(tx, start.user_id, start.limits).await? {
        return Ok(Some(Attempt::OverQuota(limit, over)));
    }
    if start.active_server_limit > 0 {
        let (active,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM servers WHERE state <> 'stopped'")
                .fetch_one(&mut **tx)
                .await?;
        if active > i64::from(start.active_server_limit) {
            return Ok(Some(Attempt::TooMany));
        }
    }
    if start.concurrent_spawn_limit > 0 {
        admit(tx, id, start.concurrent_spawn_limit).await?;
    }
    Ok(None)
}

async fn upsert_client(tx: &mut Unit, id: i64, start: &NewStart<'_>) -> Result<()> {
    let upsert = "INSERT INTO oauth_clients (client_id, server_id, secret_hash, redirect_uri, allowed_scopes) \
                  VALUES ($1, $2, $3, $4, $5) ON CONFLICT (client_id) DO UPDATE \
                  SET server_id = $2, secret_hash = $3, redirect_uri = $4, allowed_scopes = $5";
    sqlx::query(upsert)
        .bind(start.client_id.to_owned())
        .bind(id)
        .bind(start.token_hash.to_owned())
        .bind(start.redirect_uri.to_owned())
        .bind(super::lists::write(start.allowed_scopes))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
