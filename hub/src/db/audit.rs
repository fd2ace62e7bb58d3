//! Rows that tell who did what.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::{Db, Result, first_id_at, new_id, now};

/// How long they are kept: a year, in milliseconds.
const KEPT: i64 = 366 * 24 * 3600 * 1000;

#[derive(Debug, Clone)]
pub struct Deed {
    pub at: i64,
    /// `user` or `service`.
    pub kind: String,
    pub name: String,
    /// None for a browser.
    pub token_id: Option<i64>,
    pub address: String,
    pub method: String,
    pub path: String,
    pub status: i64,
}

impl FromRow<'_, AnyRow> for Deed {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            at: row.try_get("at")?,
            kind: row.try_get("kind")?,
            name: row.try_get("name")?,
            token_id: row.try_get("token_id")?,
            address: row.try_get("address")?,
            method: row.try_get("method")?,
            path: row.try_get("path")?,
            status: row.try_get("status")?,
        })
    }
}

impl Db {
    pub async fn add_deed(&self, deed: &Deed) -> Result<()> {
        let insert = "INSERT INTO audit (id, at, kind, name, token_id, address, method, path, status) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        sqlx::query(insert)
            .bind(new_id())
            .bind(deed.at)
            .bind(deed.kind.clone())
            .bind(deed.name.clone())
            .bind(deed.token_id)
            .bind(deed.address.clone())
            .bind(deed.method.clone())
            .bind(deed.path.clone())
            .bind(deed.status)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A part of what was done, the latest first, by one of this name where one is given; and of how much.
    pub async fn deeds(
        &self,
        name: Option<&str>,
        offset: i64,
        limit: i64,
    ) -> Result<(Vec<Deed>, i64)> {
        let name = name.map(str::to_owned);
        let (total,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM audit WHERE $1 IS NULL OR name = $1")
                .bind(name.clone())
                .fetch_one(&self.pool)
                .await?;
        let select =
            "SELECT * FROM audit WHERE $1 IS NULL OR name = $1 ORDER BY id DESC LIMIT $2 OFFSET $3";
        let deeds = sqlx::query_as(select)
            .bind(name)
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.pool)
            .await?;
        Ok((deeds, total))
    }

    pub(super) async fn forget_old_deeds(&self) -> Result<()> {
        // By the key, which has an index and holds the time.
        sqlx::query("DELETE FROM audit WHERE id < $1")
            .bind(first_id_at(now() - KEPT))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
