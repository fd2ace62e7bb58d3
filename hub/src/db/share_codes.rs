//! Rows of codes by which servers are offered; of a code itself, only its SHA-256 is stored.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::shares::{PartnerId, Share, SharedServer, grant, select_with_server};
use super::unit::Write as _;
use super::{Db, Result, lists, new_id, now};

#[derive(Debug, Clone)]
pub struct ShareCode {
    pub id: i64,
    pub server: SharedServer,
    /// Without a filter.
    pub scopes: Vec<String>,
    pub created: i64,
    pub expires: i64,
    pub exchange_count: i64,
    pub last_exchanged: Option<i64>,
}

impl FromRow<'_, AnyRow> for ShareCode {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            server: SharedServer::from_row(row)?,
            scopes: lists::read(&row.try_get::<String, _>("scopes")?),
            created: row.try_get("created")?,
            expires: row.try_get("expires")?,
            exchange_count: row.try_get("exchange_count")?,
            last_exchanged: row.try_get("last_exchanged")?,
        })
    }
}

/// Codes that have ended are not there, though a sweep deletes them later.
macro_rules! select {
    ($which:literal) => {
        select_with_server!(
            "share_codes",
            "",
            "WHERE ",
            $which,
            " = $1 AND share_codes.expires > $2 ORDER BY share_codes.id"
        )
    };
}

impl Db {
    /// None where the server has just been deleted.
    pub async fn add_share_code(
        &self,
        code_hash: &str,
        server_id: i64,
        scopes: &[String],
        expires: i64,
    ) -> Result<Option<ShareCode>> {
        let insert = "INSERT INTO share_codes (id, code_hash, server_id, scopes, created, expires) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
        let done = sqlx::query(insert)
            .bind(new_id())
            .bind(code_hash.to_owned())
            .bind(server_id)
            .bind(lists::write(scopes))
            .bind(now())
            .bind(expires)
            .write(self)
            .await;
        match done {
            Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => {
                return Ok(None);
            }
            done => done?,
        };
        self.share_code(code_hash).await
    }

    pub async fn share_code(&self, code_hash: &str) -> Result<Option<ShareCode>> {
        sqlx::query_as(select!("share_codes.code_hash"))
            .bind(code_hash.to_owned())
            .bind(now())
            .fetch_optional(&self.pool)
            .await
    }

    pub async fn share_codes_of_server(&self, server_id: i64) -> Result<Vec<ShareCode>> {
        sqlx::query_as(select!("share_codes.server_id"))
            .bind(server_id)
            .bind(now())
            .fetch_all(&self.pool)
            .await
    }

    pub async fn share_codes_of_owner(&self, user_id: i64) -> Result<Vec<ShareCode>> {
        sqlx::query_as(select!("servers.user_id"))
            .bind(user_id)
            .bind(now())
            .fetch_all(&self.pool)
            .await
    }

    /// Gives a user what a code offers; none where the code is none any more.
    pub async fn exchange_share_code(
        &self,
        code_hash: &str,
        user_id: i64,
    ) -> Result<Option<Share>> {
        let mut tx = self.begin().await?;
        let update = "UPDATE share_codes SET exchange_count = exchange_count + 1, last_exchanged = $1 \
                      WHERE code_hash = $2 AND expires > $1 RETURNING server_id, scopes";
        let code: Option<(i64, String)> = sqlx::query_as(update)
            .bind(now())
            .bind(code_hash.to_owned())
            .fetch_optional(&mut *tx)
            .await?;
        let Some((server_id, scopes)) = code else {
            return Ok(None);
        };
        let with = PartnerId::User(user_id);
        if !grant(&mut tx, server_id, with, &lists::read(&scopes)).await? {
            return Ok(None);
        }
        tx.commit().await?;
        self.share(server_id, with).await
    }

    /// False where the server has no such code.
    pub async fn remove_share_code(&self, server_id: i64, id: i64) -> Result<bool> {
        let done = sqlx::query("DELETE FROM share_codes WHERE server_id = $1 AND id = $2")
            .bind(server_id)
            .bind(id)
            .write(self)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    pub async fn remove_share_codes(&self, server_id: i64) -> Result<()> {
        sqlx::query("DELETE FROM share_codes WHERE server_id = $1")
            .bind(server_id)
            .write(self)
            .await?;
        Ok(())
    }
}
