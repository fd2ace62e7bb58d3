//! What users are told of the end of a server that runs.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::unit::Write as _;
use super::{Db, Result};

/// That the Hub will stop a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    pub at: i64,
    pub reason: String,
    /// Use of the server does not put it off.
    pub is_final: bool,
}

impl Announced {
    pub(super) fn of(row: &AnyRow) -> Result<Option<Self>> {
        let at: Option<i64> = row.try_get("stops_at")?;
        at.map(|at| {
            Ok(Self {
                at,
                reason: row.try_get("stop_reason")?,
                is_final: row.try_get::<i64, _>("stop_is_final")? != 0,
            })
        })
        .transpose()
    }
}

impl Db {
    /// Keeps it as long as this start of the server runs.
    pub async fn announce_stop(&self, id: i64, start_id: &str, told: &Announced) -> Result<()> {
        let update = "UPDATE servers SET stops_at = $1, stop_reason = $2, stop_is_final = $3 \
                      WHERE id = $4 AND start_id = $5 AND state = 'ready'";
        sqlx::query(update)
            .bind(told.at)
            .bind(told.reason.clone())
            .bind(i64::from(told.is_final))
            .bind(id)
            .bind(start_id.to_owned())
            .write(self)
            .await?;
        Ok(())
    }

    pub async fn withdraw_stop(&self, id: i64, start_id: &str) -> Result<()> {
        sqlx::query("UPDATE servers SET stops_at = NULL WHERE id = $1 AND start_id = $2")
            .bind(id)
            .bind(start_id.to_owned())
            .write(self)
            .await?;
        Ok(())
    }
}
