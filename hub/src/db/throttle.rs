//! Counts of failed logins.

use super::{Db, Result, now};

/// Failures are forgotten after this long without another.
const MEMORY_MS: i64 = 15 * 60 * 1000;

impl Db {
    /// Number of recent failures under `key`, and when the last one was.
    pub async fn login_failures(&self, key: &str) -> Result<(i64, i64)> {
        let row: Option<(i64, i64)> =
            sqlx::query_as("SELECT failures, last_failure FROM login_failures WHERE key = $1 AND last_failure > $2")
                .bind(key.to_owned())
                .bind(now() - MEMORY_MS)
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.unwrap_or_default())
    }

    pub async fn login_failed(&self, key: &str) -> Result<()> {
        let upsert = "INSERT INTO login_failures (key, failures, last_failure) VALUES ($1, 1, $2) \
                      ON CONFLICT (key) DO UPDATE SET last_failure = $2, failures = \
                      CASE WHEN login_failures.last_failure > $3 THEN login_failures.failures + 1 ELSE 1 END";
        sqlx::query(upsert)
            .bind(key.to_owned())
            .bind(now())
            .bind(now() - MEMORY_MS)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub async fn login_succeeded(&self, key: &str) -> Result<()> {
        sqlx::query("DELETE FROM login_failures WHERE key = $1")
            .bind(key.to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(super) async fn forget_old_failures(&self) -> Result<()> {
        sqlx::query("DELETE FROM login_failures WHERE last_failure <= $1")
            .bind(now() - MEMORY_MS)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
