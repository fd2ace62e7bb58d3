//! The queue of starts over all Hubs: which of those that are written down may go on, and in what order.

use super::unit::Unit;
use super::{Db, Result};

impl Db {
    /// Lets those starts of this Hub go on that are next in the queue of all, as long as fewer than `limit` are under
    /// way; the names of those starts.
    pub async fn admit_starts(&self, limit: u32) -> Result<Vec<String>> {
        let mut tx = self.begin().await?;
        lock_starts(&mut tx).await?;
        let free = i64::from(limit) - under_way(&mut tx).await?;
        let admit = "UPDATE servers SET under_way = 1 WHERE worker = $1 AND id IN \
                     (SELECT id FROM servers WHERE state = 'pending' AND under_way = 0 ORDER BY place, id LIMIT $2) \
                     RETURNING start_id";
        let admitted: Vec<(String,)> = sqlx::query_as(admit)
            .bind(self.hub().to_owned())
            .bind(free.max(0))
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(admitted.into_iter().map(|(start_id,)| start_id).collect())
    }

    /// The starts that wait, in their order.
    pub async fn waiting_starts(&self) -> Result<Vec<String>> {
        let waiting: Vec<(String,)> = sqlx::query_as(
            "SELECT start_id FROM servers WHERE state = 'pending' AND under_way = 0 ORDER BY place, id",
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(waiting.into_iter().map(|(start_id,)| start_id).collect())
    }
}

/// Has all others wait who count starts, until the transaction ends.
pub(super) async fn lock_starts(tx: &mut Unit) -> Result<()> {
    sqlx::query("UPDATE locks SET name = name WHERE name = 'starts'")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Lets a start that was just written down go on at once where nobody waits and less than `limit` are under way.
pub(super) async fn admit(tx: &mut Unit, server_id: i64, limit: u32) -> Result<()> {
    let (waiting,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM servers WHERE state = 'pending' AND under_way = 0 AND id <> $1",
    )
    .bind(server_id)
    .fetch_one(&mut **tx)
    .await?;
    if waiting > 0 || under_way(tx).await? >= i64::from(limit) {
        return Ok(());
    }
    sqlx::query("UPDATE servers SET under_way = 1 WHERE id = $1")
        .bind(server_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn under_way(tx: &mut Unit) -> Result<i64> {
    let (count,): (i64,) =
        sqlx::query_as("SELECT COUNT(*) FROM servers WHERE state = 'pending' AND under_way = 1")
            .fetch_one(&mut **tx)
            .await?;
    Ok(count)
}
