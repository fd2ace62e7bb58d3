//! Rows of login sessions.

use super::unit::Write as _;
use super::users::User;
use super::{Db, Result, now};

/// One login of a browser.
#[derive(Debug, Clone)]
pub struct Session {
    pub session_id: String,
    pub user: User,
    pub expires: i64,
}

impl Db {
    pub async fn add_session(
        &self,
        token_hash: &str,
        session_id: &str,
        user_id: i64,
        expires: i64,
    ) -> Result<()> {
        sqlx::query("INSERT INTO sessions (token_hash, session_id, user_id, created, expires) VALUES ($1, $2, $3, $4, $5)")
            .bind(token_hash.to_owned())
            .bind(session_id.to_owned())
            .bind(user_id)
            .bind(now())
            .bind(expires)
            .write(self)
            .await?;
        Ok(())
    }

    pub async fn session(&self, token_hash: &str) -> Result<Option<Session>> {
        let found: Option<(String, i64, i64)> = sqlx::query_as(
            "SELECT session_id, user_id, expires FROM sessions WHERE token_hash = $1 AND expires > $2",
        )
        .bind(token_hash.to_owned())
        .bind(now())
        .fetch_optional(&self.pool)
        .await?;
        let Some((session_id, user_id, expires)) = found else {
            return Ok(None);
        };
        let user = self.user_by_id(user_id).await?;
        Ok(user.map(|user| Session {
            session_id,
            user,
            expires,
        }))
    }

    /// Ends a login. Its OAuth codes and tokens go with it (foreign keys), so that every tab of every server is
    /// logged out (GHSA-cw7p-q79f-m2v7).
    pub async fn end_session(&self, session_id: &str) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE session_id = $1")
            .bind(session_id.to_owned())
            .write(self)
            .await?;
        Ok(())
    }

    /// Removes what time has ended: sessions, codes, tokens and old tries to log in.
    pub async fn purge_expired(&self) -> Result<()> {
        let now = now();
        for statement in [
            "DELETE FROM sessions WHERE expires <= $1",
            "DELETE FROM oauth_codes WHERE expires <= $1",
            "DELETE FROM api_tokens WHERE expires IS NOT NULL AND expires <= $1",
            "DELETE FROM share_codes WHERE expires <= $1",
        ] {
            sqlx::query(statement).bind(now).execute(&self.pool).await?;
        }
        self.forget_old_deeds().await?;
        self.forget_old_login_tries().await
    }
}
