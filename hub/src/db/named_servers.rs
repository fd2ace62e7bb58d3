//! Servers that are created, renamed and changed without being started.

use serde_json::{Map, Value};

use super::leftovers::has_left;
use super::servers::{Server, is_known};
use super::unit::{Unit, Write as _};
use super::users::hold_user;
use super::{Db, Result, new_id};

/// A server that is to be created.
#[derive(Debug)]
pub struct NewServer<'a> {
    pub user_id: i64,
    pub name: &'a str,
    pub display_name: &'a str,
    pub user_options: &'a Map<String, Value>,
    pub prefix: &'a str,
    /// How many named servers a user may have; 0 for any number.
    pub named_limit: u32,
}

/// What is to be changed of a server; what is not there stays.
#[derive(Debug, Default)]
pub struct Change<'a> {
    pub name: Option<&'a str>,
    pub prefix: Option<&'a str>,
    pub display_name: Option<&'a str>,
    pub user_options: Option<&'a Map<String, Value>>,
}

/// What became of a new server, or of a change.
#[derive(Debug, Clone)]
pub enum Changed {
    Done(Box<Server>),
    /// Another server has the name.
    Taken,
    /// What another server of the name has left is not gone, or belongs to a server that was renamed.
    InUse,
    /// The user has so many named servers, and may have no more.
    TooMany(u32),
    NotStopped,
}

impl Db {
    pub async fn create_server(&self, new: NewServer<'_>) -> Result<Changed> {
        let mut tx = self.begin().await?;
        hold_user(&mut tx, new.user_id).await?;
        let insert = "INSERT INTO servers \
                      (id, user_id, name, spawner_name, display_name, state, start_id, user_options, prefix) \
                      VALUES ($1, $2, $3, $3, $4, 'stopped', '', $5, $6) ON CONFLICT DO NOTHING RETURNING id";
        let id: Option<(i64,)> = sqlx::query_as(insert)
            .bind(new_id())
            .bind(new.user_id)
            .bind(new.name.to_owned())
            .bind(new.display_name.to_owned())
            .bind(Value::Object(new.user_options.clone()).to_string())
            .bind(new.prefix.to_owned())
            .fetch_optional(&mut *tx)
            .await?;
        let Some((id,)) = id else {
            return Ok(if is_known(&mut tx, new.user_id, new.name).await? {
                Changed::Taken
            } else {
                Changed::InUse
            });
        };
        if has_left(&mut tx, new.user_id, new.name).await? {
            return Ok(Changed::InUse);
        }
        if has_too_many(&mut tx, new.user_id, new.named_limit).await? {
            return Ok(Changed::TooMany(new.named_limit));
        }
        tx.commit().await?;
        self.as_changed(id).await
    }

    /// Changes a server that is stopped.
    pub async fn change_server(&self, id: i64, change: Change<'_>) -> Result<Changed> {
        if let Some(name) = change.name {
            let select = "SELECT id FROM servers WHERE name = $1 \
                          AND user_id = (SELECT user_id FROM servers WHERE id = $2)";
            let other: Option<(i64,)> = sqlx::query_as(select)
                .bind(name.to_owned())
                .bind(id)
                .fetch_optional(&self.pool)
                .await?;
            if other.is_some() {
                return Ok(Changed::Taken);
            }
        }
        let options = change
            .user_options
            .map(|options| Value::Object(options.clone()).to_string());
        let update = "UPDATE servers SET name = COALESCE($1, name), prefix = COALESCE($2, prefix), \
                      display_name = COALESCE($3, display_name), user_options = COALESCE($4, user_options) \
                      WHERE id = $5 AND state = 'stopped'";
        let done = sqlx::query(update)
            .bind(change.name.map(str::to_owned))
            .bind(change.prefix.map(str::to_owned))
            .bind(change.display_name.map(str::to_owned))
            .bind(options)
            .bind(id)
            .write(self)
            .await;
        match done {
            Ok(done) if done.rows_affected() == 0 => Ok(Changed::NotStopped),
            Ok(_) => self.as_changed(id).await,
            // Another request was faster with the name.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Changed::Taken),
            Err(error) => Err(error),
        }
    }

    async fn as_changed(&self, id: i64) -> Result<Changed> {
        let server = self.server_by_id(id).await?;
        Ok(server.map_or(Changed::NotStopped, |server| {
            Changed::Done(Box::new(server))
        }))
    }
}

/// Whether a user has more named servers than `limit`, for whoever holds the user; 0 allows any number.
pub(super) async fn has_too_many(tx: &mut Unit, user_id: i64, limit: u32) -> Result<bool> {
    let (named,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM servers WHERE user_id = $1 AND name <> ''")
            .bind(user_id)
            .fetch_one(&mut **tx)
            .await?;
    Ok(limit > 0 && named > i64::from(limit))
}
