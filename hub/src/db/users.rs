//! Rows of users.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::unit::{Unit, Write as _};
use super::{Db, Result, new_id, now};

#[derive(Debug, Clone)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub admin: bool,
    pub password_is_empty: bool,
    /// Added by an administrator, and not only by the configuration.
    pub added: bool,
    pub created: i64,
    pub last_activity: Option<i64>,
    /// When the service that logs the user in was last asked who they are.
    pub auth_refreshed: Option<i64>,
}

/// What became of another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renamed {
    Done,
    Taken,
    HasServers,
}

impl FromRow<'_, AnyRow> for User {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            admin: row.try_get::<i64, _>("admin")? != 0,
            password_is_empty: row.try_get::<i64, _>("password_is_empty")? != 0,
            added: row.try_get::<i64, _>("added")? != 0,
            created: row.try_get("created")?,
            last_activity: row.try_get("last_activity")?,
            auth_refreshed: row.try_get("auth_refreshed")?,
        })
    }
}

impl Db {
    pub async fn user(&self, name: &str) -> Result<Option<User>> {
        sqlx::query_as("SELECT * FROM users WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(&self.pool)
            .await
    }

    pub async fn user_by_id(&self, id: i64) -> Result<Option<User>> {
        sqlx::query_as("SELECT * FROM users WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
    }

    /// The stored hash; `None` where the user or the password does not exist.
    pub async fn password_hash(&self, name: &str) -> Result<Option<String>> {
        let hash: Option<(Option<String>,)> =
            sqlx::query_as("SELECT password_hash FROM users WHERE name = $1")
                .bind(name.to_owned())
                .fetch_optional(&self.pool)
                .await?;
        Ok(hash.and_then(|(hash,)| hash))
    }

    /// How many users there are, or were active at or after a time.
    pub async fn count_users_since(&self, at: Option<i64>) -> Result<i64> {
        let (count,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM users WHERE last_activity >= $1 OR $1 IS NULL")
                .bind(at)
                .fetch_one(&self.pool)
                .await?;
        Ok(count)
    }

    pub async fn no_users(&self) -> Result<bool> {
        let one: Option<(i64,)> = sqlx::query_as("SELECT id FROM users LIMIT 1")
            .fetch_optional(&self.pool)
            .await?;
        Ok(one.is_none())
    }

    /// Adds a user; false where the name is taken.
    pub async fn add_user(
        &self,
        name: &str,
        admin: bool,
        password_hash: Option<&str>,
        empty: bool,
    ) -> Result<bool> {
        let insert = "INSERT INTO users (id, name, admin, password_hash, password_is_empty, created) \
                      VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";
        let done = sqlx::query(insert)
            .bind(new_id())
            .bind(name.to_owned())
            .bind(i64::from(admin))
            .bind(password_hash.map(str::to_owned))
            .bind(i64::from(empty))
            .bind(now())
            .write(self)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Adds a user, or an administrator, on the word of an administrator: other than those of the configuration they stay
    /// what they are when it no longer names them. False where the name is taken.
    pub async fn add_user_by_admin(&self, name: &str, admin: bool) -> Result<bool> {
        let insert = "INSERT INTO users (id, name, admin, password_is_empty, created, added, added_as_admin) \
                      VALUES ($1, $2, $3, 0, $4, 1, $3) ON CONFLICT (name) DO NOTHING";
        let done = sqlx::query(insert)
            .bind(new_id())
            .bind(name.to_owned())
            .bind(i64::from(admin))
            .bind(now())
            .write(self)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Adds somebody who has made the account themselves, and may log in; false where the name is taken.
    pub async fn sign_up(&self, name: &str, password_hash: &str) -> Result<bool> {
        let insert = "INSERT INTO users (id, name, admin, password_hash, password_is_empty, created, added, added_as_admin) \
                      VALUES ($1, $2, 0, $3, 0, $4, 1, 0) ON CONFLICT (name) DO NOTHING";
        let done = sqlx::query(insert)
            .bind(new_id())
            .bind(name.to_owned())
            .bind(password_hash.to_owned())
            .bind(now())
            .write(self)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Those who still have the empty password of the first start.
    pub async fn users_with_empty_password(&self) -> Result<Vec<User>> {
        sqlx::query_as("SELECT * FROM users WHERE password_is_empty = 1 ORDER BY name")
            .fetch_all(&self.pool)
            .await
    }

    /// All whom an administrator has added.
    pub async fn added_users(&self) -> Result<Vec<User>> {
        sqlx::query_as("SELECT * FROM users WHERE added = 1 ORDER BY name")
            .fetch_all(&self.pool)
            .await
    }

    /// Administrators by the word of the configuration alone.
    pub async fn configured_admins(&self) -> Result<Vec<User>> {
        sqlx::query_as("SELECT * FROM users WHERE admin = 1 AND added_as_admin = 0 ORDER BY name")
            .fetch_all(&self.pool)
            .await
    }

    pub async fn set_admin(&self, name: &str, admin: bool) -> Result<()> {
        sqlx::query("UPDATE users SET admin = $1 WHERE name = $2")
            .bind(i64::from(admin))
            .bind(name.to_owned())
            .write(self)
            .await?;
        Ok(())
    }

    /// Makes a user an administrator, or none, on the word of an administrator.
    pub async fn make_admin(&self, id: i64, admin: bool) -> Result<()> {
        sqlx::query("UPDATE users SET admin = $1, added_as_admin = $1 WHERE id = $2")
            .bind(i64::from(admin))
            .bind(id)
            .write(self)
            .await?;
        Ok(())
    }

    /// Gives another name to a user who has no servers: what these keep is found by the name.
    pub async fn rename_user(&self, id: i64, name: &str) -> Result<Renamed> {
        let update = "UPDATE users SET name = $1 WHERE id = $2 \
                      AND NOT EXISTS (SELECT 1 FROM servers WHERE user_id = $2)";
        let done = sqlx::query(update)
            .bind(name.to_owned())
            .bind(id)
            .write(self)
            .await;
        match done {
            Ok(done) if done.rows_affected() == 0 => Ok(Renamed::HasServers),
            Ok(_) => Ok(Renamed::Done),
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(Renamed::Taken),
            Err(error) => Err(error),
        }
    }

    /// Sets a password and ends all that an older one may have given away: the user's login sessions and tokens, but for
    /// the session in which it is done and the tokens of servers, which serve on.
    pub async fn set_password(
        &self,
        user_id: i64,
        hash: &str,
        keep_session: Option<&str>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("UPDATE users SET password_hash = $1, password_is_empty = 0 WHERE id = $2")
            .bind(hash.to_owned())
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM sessions WHERE user_id = $1 AND session_id <> $2")
            .bind(user_id)
            .bind(keep_session.unwrap_or_default().to_owned())
            .execute(&mut *tx)
            .await?;
        // Those of the sessions have gone with them.
        sqlx::query("DELETE FROM api_tokens WHERE user_id = $1 AND server_id IS NULL AND session_id IS NULL")
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Users none of whose servers is active.
    pub async fn users_without_servers(&self) -> Result<Vec<User>> {
        sqlx::query_as(
            "SELECT * FROM users WHERE NOT EXISTS \
             (SELECT 1 FROM servers WHERE servers.user_id = users.id AND state <> 'stopped') ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
    }

    /// Deletes a user with all that hangs on it, and what the spawner keeps of their servers where `files` says so;
    /// false where a server of theirs is active.
    pub async fn remove_user_without_servers(&self, user_id: i64, files: bool) -> Result<bool> {
        let mut tx = self.begin().await?;
        hold_user(&mut tx, user_id).await?;
        if files {
            let leave = "INSERT INTO leftovers (user_name, server_name) \
                         SELECT users.name, servers.spawner_name FROM servers JOIN users ON users.id = servers.user_id \
                         WHERE users.id = $1 ON CONFLICT (user_name, server_name) DO NOTHING";
            sqlx::query(leave).bind(user_id).execute(&mut *tx).await?;
        }
        let done = sqlx::query(
            "DELETE FROM users WHERE id = $1 AND NOT EXISTS \
             (SELECT 1 FROM servers WHERE servers.user_id = users.id AND state <> 'stopped')",
        )
        .bind(user_id)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Moves the time of last activity forward, never back.
    pub async fn user_was_active(&self, user_id: i64, at: i64) -> Result<()> {
        self.move_activity(user_id, at, at).await
    }

    /// The same, unless less than `pause` milliseconds have passed: of requests that come together, one writes.
    pub async fn user_visited(&self, user_id: i64, at: i64, pause: i64) -> Result<()> {
        self.move_activity(user_id, at, at - pause).await
    }

    async fn move_activity(&self, user_id: i64, at: i64, from_before: i64) -> Result<()> {
        sqlx::query("UPDATE users SET last_activity = $1 WHERE id = $2 AND (last_activity IS NULL OR last_activity < $3)")
            .bind(at)
            .bind(user_id)
            .bind(from_before)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

/// Has others wait who start a server of this user, or delete the user, until the transaction ends.
pub(super) async fn hold_user(tx: &mut Unit, user_id: i64) -> Result<()> {
    sqlx::query("UPDATE users SET last_activity = last_activity WHERE id = $1")
        .bind(user_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
