//! Counts of tries to log in.

use super::{Db, Result, now};

/// Tries are forgotten after this long without another.
const MEMORY_MS: i64 = 15 * 60 * 1000;

impl Db {
    /// Number of recent tries under `key`, and when the last one was.
    pub async fn login_tries(&self, key: &str) -> Result<(i64, i64)> {
        let row: Option<(i64, i64)> = sqlx::query_as(
            "SELECT tries, last_try FROM login_tries WHERE key = $1 AND last_try > $2",
        )
        .bind(key.to_owned())
        .bind(now() - MEMORY_MS)
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.unwrap_or_default())
    }

    /// Counts a try. After `free` of them, one that comes within `pause` of the last is not counted but refused.
    pub async fn count_login_try(&self, key: &str, free: i64, pause: i64) -> Result<bool> {
        let upsert = "INSERT INTO login_tries (key, tries, last_try) VALUES ($1, 1, $2) \
                      ON CONFLICT (key) DO UPDATE SET last_try = $2, \
                      tries = CASE WHEN login_tries.last_try > $3 THEN login_tries.tries + 1 ELSE 1 END \
                      WHERE login_tries.tries < $4 OR login_tries.last_try <= $5";
        let done = sqlx::query(upsert)
            .bind(key.to_owned())
            .bind(now())
            .bind(now() - MEMORY_MS)
            .bind(free)
            .bind(now() - pause)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub async fn forget_login_tries(&self, key: &str) -> Result<()> {
        sqlx::query("DELETE FROM login_tries WHERE key = $1")
            .bind(key.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(super) async fn forget_old_login_tries(&self) -> Result<()> {
        sqlx::query("DELETE FROM login_tries WHERE last_try <= $1")
            .bind(now() - MEMORY_MS)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
