//! Progress events of starts; rows, so that any replica of the Hub can show them.

use super::{Db, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgressRow {
    pub seq: i64,
    pub progress: i64,
    pub message: String,
}

impl Db {
    pub async fn add_progress(
        &self,
        server_id: i64,
        start_id: &str,
        row: &ProgressRow,
    ) -> Result<()> {
        let insert = "INSERT INTO progress_events (start_id, seq, server_id, progress, message) \
                      VALUES ($1, $2, $3, $4, $5) ON CONFLICT (start_id, seq) DO NOTHING";
        sqlx::query(insert)
            .bind(start_id.to_owned())
            .bind(row.seq)
            .bind(server_id)
            .bind(row.progress)
            .bind(row.message.clone())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Events after `seq`, in order.
    pub async fn progress_after(&self, start_id: &str, seq: i64) -> Result<Vec<ProgressRow>> {
        let rows: Vec<(i64, i64, String)> = sqlx::query_as(
            "SELECT seq, progress, message FROM progress_events WHERE start_id = $1 AND seq > $2 ORDER BY seq",
        )
        .bind(start_id.to_owned())
        .bind(seq)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|(seq, progress, message)| ProgressRow {
                seq,
                progress,
                message,
            })
            .collect())
    }
}
