//! Rows of API tokens, found by the SHA-256 of the token.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::unit::Write as _;
use super::{Db, Result, new_id, now};

#[derive(Debug, Clone)]
pub struct ApiToken {
    pub id: i64,
    /// A token is a user's, or a service's.
    pub user_id: Option<i64>,
    pub service_id: Option<i64>,
    pub client_id: Option<String>,
    pub server_id: Option<i64>,
    pub session_id: Option<String>,
    pub scopes: Vec<String>,
    pub note: String,
    pub created: i64,
    pub last_activity: Option<i64>,
    pub expires: Option<i64>,
}

impl ApiToken {
    pub fn has_ended(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= now())
    }
}

impl FromRow<'_, AnyRow> for ApiToken {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            user_id: row.try_get("user_id")?,
            service_id: row.try_get("service_id")?,
            client_id: row.try_get("client_id")?,
            server_id: row.try_get("server_id")?,
            session_id: row.try_get("session_id")?,
            scopes: super::lists::read(&row.try_get::<String, _>("scopes")?),
            note: row.try_get("note")?,
            created: row.try_get("created")?,
            last_activity: row.try_get("last_activity")?,
            expires: row.try_get("expires")?,
        })
    }
}

/// What is stored of a new token.
#[derive(Debug, Clone, Default)]
pub struct NewToken<'a> {
    pub token_hash: &'a str,
    pub user_id: Option<i64>,
    pub service_id: Option<i64>,
    pub client_id: Option<&'a str>,
    pub server_id: Option<i64>,
    pub session_id: Option<&'a str>,
    /// The code that it is given for.
    pub code_hash: Option<&'a str>,
    pub scopes: &'a [String],
    pub note: &'a str,
    pub expires: Option<i64>,
}

impl Db {
    pub async fn add_token(&self, token: NewToken<'_>) -> Result<i64> {
        let mut unit = self.begin().await?;
        let id = insert_token(&mut *unit, token).await?;
        unit.commit().await?;
        Ok(id)
    }

    pub async fn token(&self, token_hash: &str) -> Result<Option<ApiToken>> {
        sqlx::query_as(
            "SELECT * FROM api_tokens WHERE token_hash = $1 AND (expires IS NULL OR expires > $2)",
        )
        .bind(token_hash.to_owned())
        .bind(now())
        .fetch_optional(&self.pool)
        .await
    }

    /// Tokens of an imported JupyterHub that begin so, and were not used yet: key, and JupyterHub's hash.
    pub async fn imported_tokens(&self, prefix: &str) -> Result<Vec<(i64, String)>> {
        sqlx::query_as("SELECT id, token_hash FROM api_tokens WHERE imported_prefix = $1")
            .bind(prefix.to_owned())
            .fetch_all(&self.pool)
            .await
    }

    /// Makes an imported token one like others.
    pub async fn settle_token(&self, id: i64, token_hash: &str) -> Result<()> {
        sqlx::query("UPDATE api_tokens SET token_hash = $1, imported_prefix = NULL WHERE id = $2")
            .bind(token_hash.to_owned())
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub async fn tokens_of(&self, user_id: i64) -> Result<Vec<ApiToken>> {
        sqlx::query_as("SELECT * FROM api_tokens WHERE user_id = $1 AND (expires IS NULL OR expires > $2) ORDER BY id")
            .bind(user_id)
            .bind(now())
            .fetch_all(&self.pool)
            .await
    }

    pub async fn token_was_used(&self, id: i64, at: i64) -> Result<()> {
        sqlx::query("UPDATE api_tokens SET last_activity = $1 WHERE id = $2")
            .bind(at)
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Revokes one token; of an OAuth client, all that the client holds for this user. False where none fits.
    pub async fn revoke_token(&self, user_id: i64, id: i64) -> Result<bool> {
        let delete = "DELETE FROM api_tokens WHERE user_id = $1 AND (id = $2 OR client_id = \
                      (SELECT client_id FROM api_tokens WHERE id = $2 AND user_id = $1))";
        let done = sqlx::query(delete)
            .bind(user_id)
            .bind(id)
            .write(self)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

pub(super) async fn insert_token<'c>(
    executor: impl sqlx::AnyExecutor<'c>,
    token: NewToken<'_>,
) -> Result<i64> {
    let id = new_id();
    let insert = "INSERT INTO api_tokens \
                  (id, token_hash, user_id, client_id, server_id, session_id, scopes, note, created, expires, code_hash, service_id) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    sqlx::query(insert)
        .bind(id)
        .bind(token.token_hash.to_owned())
        .bind(token.user_id)
        .bind(token.client_id.map(str::to_owned))
        .bind(token.server_id)
        .bind(token.session_id.map(str::to_owned))
        .bind(super::lists::write(token.scopes))
        .bind(token.note.to_owned())
        .bind(now())
        .bind(token.expires)
        .bind(token.code_hash.map(str::to_owned))
        .bind(token.service_id)
        .execute(executor)
        .await?;
    Ok(id)
}
