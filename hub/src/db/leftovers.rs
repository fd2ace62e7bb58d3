//! Deletion of servers: the row goes at once, what the spawner keeps of it is written down until that is gone too.

use serde_json::Value;

use super::unit::{Unit, Write as _};
use super::{Db, Result};

/// What a deleted server has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub user: String,
    pub server: String,
    /// What the spawner said of its last start.
    pub last_state: Option<Value>,
}

impl Db {
    /// Deletes a server that is stopped, with all that hangs on it; false where it is not stopped.
    pub async fn remove_server(&self, id: i64) -> Result<bool> {
        let mut tx = self.begin().await?;
        let removed = remove_stopped(&mut tx, id).await?;
        tx.commit().await?;
        Ok(removed)
    }

    /// Has a server deleted as soon as this start of it is over; false where another start has followed.
    pub async fn request_removal(&self, id: i64, start_id: &str) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE servers SET remove_requested = 1 WHERE id = $1 AND start_id = $2 AND state <> 'stopped'",
        )
        .bind(id)
        .bind(start_id.to_owned())
        .write(self)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    pub async fn leftovers(&self) -> Result<Vec<Leftover>> {
        let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "SELECT user_name, server_name, last_state FROM leftovers ORDER BY user_name",
        )
        .fetch_all(&self.pool)
        .await?;
        let leftover = |(user, server, state): (String, String, Option<String>)| Leftover {
            user,
            server,
            last_state: state.and_then(|json| serde_json::from_str(&json).ok()),
        };
        Ok(rows.into_iter().map(leftover).collect())
    }

    /// Nothing is left of it any more.
    pub async fn leftover_is_gone(&self, leftover: &Leftover) -> Result<()> {
        sqlx::query("DELETE FROM leftovers WHERE user_name = $1 AND server_name = $2")
            .bind(leftover.user.clone())
            .bind(leftover.server.clone())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

pub(super) async fn remove_stopped(tx: &mut Unit, id: i64) -> Result<bool> {
    // First: on PostgreSQL it waits here for a start of this moment, and then finds nothing to delete.
    let delete = "DELETE FROM servers WHERE id = $1 AND state = 'stopped' RETURNING user_id, spawner_name, last_state";
    let deleted: Option<(i64, String, Option<String>)> = sqlx::query_as(delete)
        .bind(id)
        .fetch_optional(&mut **tx)
        .await?;
    let Some((user_id, server, last_state)) = deleted else {
        return Ok(false);
    };
    let leave = "INSERT INTO leftovers (user_name, server_name, last_state) SELECT name, $2, $3 FROM users WHERE id = $1 \
                 ON CONFLICT (user_name, server_name) DO NOTHING";
    sqlx::query(leave)
        .bind(user_id)
        .bind(server)
        .bind(last_state)
        .execute(&mut **tx)
        .await?;
    Ok(true)
}

/// Whether a server of this name has left something that is not gone yet. Asked once the row of the new server is written,
/// which waits for whoever deletes the old one.
pub(super) async fn has_left(tx: &mut Unit, user_id: i64, server: &str) -> Result<bool> {
    let found: Option<(i64,)> = sqlx::query_as(
        "SELECT 1 FROM leftovers JOIN users ON users.name = leftovers.user_name \
         WHERE users.id = $1 AND server_name = $2",
    )
    .bind(user_id)
    .bind(server.to_owned())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}
