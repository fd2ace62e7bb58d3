//! What is kept of users for the service that logged them in, as it is encrypted.

use super::unit::Write as _;
use super::{Db, Result};

/// Of whom the service has refused.
pub const REFUSED: i64 = 0;

impl Db {
    /// None where nothing is kept.
    pub async fn auth_state(&self, user_id: i64) -> Result<Option<String>> {
        let found: Option<(Option<String>,)> =
            sqlx::query_as("SELECT auth_state FROM users WHERE id = $1")
                .bind(user_id)
                .fetch_optional(&self.pool)
                .await?;
        Ok(found.and_then(|(state,)| state))
    }

    pub async fn set_auth_state(&self, user_id: i64, state: Option<&str>) -> Result<()> {
        sqlx::query("UPDATE users SET auth_state = $1 WHERE id = $2")
            .bind(state.map(str::to_owned))
            .bind(user_id)
            .write(self)
            .await?;
        Ok(())
    }

    /// The same as `old`, by another key; not where somebody has kept another meanwhile.
    pub async fn reseal_auth_state(&self, user_id: i64, old: &str, new: &str) -> Result<()> {
        sqlx::query("UPDATE users SET auth_state = $1 WHERE id = $2 AND auth_state = $3")
            .bind(new.to_owned())
            .bind(user_id)
            .bind(old.to_owned())
            .write(self)
            .await?;
        Ok(())
    }

    /// The same, told by the service itself at a time.
    pub async fn tell_auth_state(&self, user_id: i64, state: Option<&str>, at: i64) -> Result<()> {
        sqlx::query("UPDATE users SET auth_state = $1, auth_refreshed = $2 WHERE id = $3")
            .bind(state.map(str::to_owned))
            .bind(at)
            .bind(user_id)
            .write(self)
            .await?;
        Ok(())
    }

    /// What the service has answered who asked it at a time, as [`Db::set_auth_refreshed`] wrote down; not where it has told
    /// more since.
    pub async fn renew_auth_state(&self, user_id: i64, state: Option<&str>, at: i64) -> Result<()> {
        sqlx::query("UPDATE users SET auth_state = $1 WHERE id = $2 AND auth_refreshed = $3")
            .bind(state.map(str::to_owned))
            .bind(user_id)
            .bind(at)
            .write(self)
            .await?;
        Ok(())
    }

    /// Writes down that the service is asked now, or has refused; false where somebody else has since it was `known`.
    pub async fn set_auth_refreshed(
        &self,
        user_id: i64,
        known: Option<i64>,
        at: i64,
    ) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE users SET auth_refreshed = $1 WHERE id = $2 AND COALESCE(auth_refreshed, -1) = $3",
        )
        .bind(at)
        .bind(user_id)
        .bind(known.unwrap_or(-1))
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// What was kept is of no use where nothing is to be kept.
    pub async fn forget_auth_state(&self, user_id: i64) -> Result<()> {
        let forget = "UPDATE users SET auth_state = NULL, auth_refreshed = NULL WHERE id = $1 AND auth_state IS NOT NULL";
        sqlx::query(forget).bind(user_id).write(self).await?;
        Ok(())
    }
}
