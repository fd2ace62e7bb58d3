//! The Hubs that serve one database: each renews a lease on what it carries out, by the clock of the database.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::leftovers::Leftover;
use super::servers::{Server, select_servers};
use super::{Db, Result};

/// A Hub that has not renewed its lease for so long is dead to the others.
pub const LEASE: Duration = Duration::from_secs(10);
/// The same in milliseconds.
const LEASE_MS: u128 = LEASE.as_millis();

/// One run of a Hub, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubRow {
    pub id: String,
    /// Host and port.
    pub name: String,
    /// Boot of the machine that it runs on.
    pub machine: String,
}

impl Db {
    /// Writes this Hub down, and forgets those that are long dead; in the place of the one before it at the same host and
    /// port: that one is dead, for two cannot listen there.
    pub async fn enter_hub(&self, name: &str, machine: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM hubs WHERE name = $1")
            .bind(name.to_owned())
            .execute(&mut *tx)
            .await?;
        let clock = self.clock();
        let forget = format!("DELETE FROM hubs WHERE seen < {clock} - 100 * {LEASE_MS}");
        sqlx::query(AssertSqlSafe(forget)).execute(&mut *tx).await?;
        let insert = format!(
            "INSERT INTO hubs (id, name, machine, started, seen) VALUES ($1, $2, $3, {clock}, {clock})"
        );
        sqlx::query(AssertSqlSafe(insert))
            .bind(self.hub().to_owned())
            .bind(name.to_owned())
            .bind(machine.to_owned())
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// Renews the lease of this Hub; false where it is not written down.
    pub async fn renew_hub(&self) -> Result<bool> {
        let renew = format!("UPDATE hubs SET seen = {} WHERE id = $1", self.clock());
        let done = sqlx::query(AssertSqlSafe(renew))
            .bind(self.hub().to_owned())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// What this Hub was doing is for others to take over at once.
    pub async fn leave_hub(&self) -> Result<()> {
        sqlx::query("DELETE FROM hubs WHERE id = $1")
            .bind(self.hub().to_owned())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The Hubs that live, the oldest first.
    pub async fn live_hubs(&self) -> Result<Vec<HubRow>> {
        let live = format!(
            "SELECT id, name, machine FROM hubs WHERE {} ORDER BY started, id",
            self.lives()
        );
        let rows: Vec<(String, String, String)> = sqlx::query_as(AssertSqlSafe(live))
            .fetch_all(&self.pool)
            .await?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(id, name, machine)| HubRow { id, name, machine })
            .collect())
    }

    /// Servers whose start or stop belongs to no Hub that lives; those that wait in the queue in their order.
    pub async fn abandoned_servers(&self) -> Result<Vec<Server>> {
        let select = format!(
            "{} WHERE state IN ('pending', 'stopping') AND {} ORDER BY place, servers.id",
            select_servers(),
            self.has_no_worker("servers")
        );
        sqlx::query_as(AssertSqlSafe(select))
            .fetch_all(&self.pool)
            .await
    }

    /// Makes this Hub the one that goes on with a start or stop; false where another was faster, or it is over.
    pub async fn take_over(&self, server: &Server) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE servers SET worker = $1 WHERE id = $2 AND start_id = $3 AND worker = $4 \
             AND state IN ('pending', 'stopping')",
        )
        .bind(self.hub().to_owned())
        .bind(server.id)
        .bind(server.start_id.clone())
        .bind(server.worker.clone())
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Makes this Hub the one that removes what a deleted server has left; false where another does, or nothing is left.
    pub async fn take_leftover(&self, leftover: &Leftover) -> Result<bool> {
        let update = format!(
            "UPDATE leftovers SET worker = $1 WHERE user_name = $2 AND server_name = $3 AND (worker = $1 OR {})",
            self.has_no_worker("leftovers")
        );
        let done = sqlx::query(AssertSqlSafe(update))
            .bind(self.hub().to_owned())
            .bind(leftover.user.clone())
            .bind(leftover.server.clone())
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    fn lives(&self) -> String {
        format!("hubs.seen > {} - {LEASE_MS}", self.clock())
    }

    fn has_no_worker(&self, table: &str) -> String {
        format!(
            "NOT EXISTS (SELECT 1 FROM hubs WHERE hubs.id = {table}.worker AND {})",
            self.lives()
        )
    }
}
