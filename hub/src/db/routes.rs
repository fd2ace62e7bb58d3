//! Servers as the proxy has to know them: prefix and address, without what a start needs.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use super::{Db, Result};

/// A server that has a route, or will have one.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    pub id: i64,
    pub start_id: String,
    pub user: String,
    pub name: String,
    pub prefix: String,
    pub url: Option<String>,
    pub ready: bool,
}

impl FromRow<'_, AnyRow> for Routed {
    fn from_row(row: &AnyRow) -> Result<Self> {
        let state: String = row.try_get("state")?;
        Ok(Self {
            id: row.try_get("id")?,
            start_id: row.try_get("start_id")?,
            user: row.try_get("user_name")?,
            name: row.try_get("name")?,
            prefix: row.try_get("prefix")?,
            url: row.try_get("url")?,
            ready: state == "ready",
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT servers.id, start_id, users.name AS user_name, servers.name, prefix, url, state \
             FROM servers JOIN users ON users.id = servers.user_id ",
            $rest
        )
    };
}

impl Db {
    /// Servers that are ready, and those that start: their routes come a moment before they are ready.
    pub async fn routed_servers(&self) -> Result<Vec<Routed>> {
        sqlx::query_as(select!("WHERE state IN ('ready', 'pending')"))
            .fetch_all(&self.pool)
            .await
    }

    /// Of two prefixes, those of servers that are ready.
    pub async fn ready_servers_at(&self, one: &str, other: &str) -> Result<Vec<Routed>> {
        sqlx::query_as(select!("WHERE state = 'ready' AND prefix IN ($1, $2)"))
            .bind(one.to_owned())
            .bind(other.to_owned())
            .fetch_all(&self.pool)
            .await
    }
}
