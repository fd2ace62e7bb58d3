//! Secrets of the Hub itself, which all its replicas share.

use super::{Db, Result};
use crate::auth::secret;

impl Db {
    /// The secret of this name, made at the first call.
    pub async fn secret(&self, name: &str) -> Result<String> {
        sqlx::query(
            "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        )
        .bind(name.to_owned())
        .bind(secret::generate())
        .execute(&self.pool)
        .await?;
        let (value,): (String,) = sqlx::query_as("SELECT value FROM secrets WHERE name = $1")
            .bind(name.to_owned())
            .fetch_one(&self.pool)
            .await?;
        Ok(value)
    }
}
