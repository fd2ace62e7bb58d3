//! Rows of the runs of servers: what ran for whom, from when to when. They stay when the server is deleted.

use std::collections::HashMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

use super::unit::Unit;
use super::{Db, Result, now, places};

/// A week, in milliseconds.
pub const WEEK: i64 = 7 * 24 * 3600 * 1000;

/// How many users the database is asked about at once.
const MOST_AT_ONCE: usize = 500;

/// One start of a server, and what came of it.
#[derive(Debug, Clone)]
pub struct Run {
    pub user: String,
    /// Empty for the default server.
    pub server: String,
    pub asked: i64,
    /// None where it never was, or is not yet.
    pub ready: Option<i64>,
    pub ended: Option<i64>,
    /// Why the start failed or the server ended by itself.
    pub failure: Option<String>,
}

impl FromRow<'_, AnyRow> for Run {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            user: row.try_get("user_name")?,
            server: row.try_get("server_name")?,
            asked: row.try_get("asked")?,
            ready: row.try_get("ready")?,
            ended: row.try_get("ended")?,
            failure: row.try_get("failure")?,
        })
    }
}

impl Run {
    /// Milliseconds that the server was ready after `since`.
    pub fn length_since(&self, since: i64) -> i64 {
        let ready = self.ready.map_or(i64::MAX, |ready| ready.max(since));
        let end = self.ended.unwrap_or_else(now);
        end.saturating_sub(ready).max(0)
    }
}

impl Db {
    /// Runs that had not ended at `since` or began after it, in their order, and how many there are in all; of one user
    /// where one is given.
    pub async fn runs_since(
        &self,
        user: Option<&str>,
        since: i64,
        (offset, limit): (i64, i64),
    ) -> Result<(Vec<Run>, i64)> {
        macro_rules! of {
            ($what:literal, $rest:literal) => {
                concat!(
                    "SELECT ", $what, " FROM runs WHERE ($1 IS NULL OR user_name = $1) AND (ended IS NULL OR ended >= $2)",
                    $rest
                )
            };
        }
        let user = user.map(str::to_owned);
        let runs = sqlx::query_as(of!("*", " ORDER BY asked, start_id LIMIT $3 OFFSET $4"))
            .bind(user.clone())
            .bind(since)
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.pool)
            .await?;
        let (total,): (i64,) = sqlx::query_as(of!("COUNT(*)", ""))
            .bind(user)
            .bind(since)
            .fetch_one(&self.pool)
            .await?;
        Ok((runs, total))
    }

    /// Milliseconds that servers of each of these users were ready after `since`; of nobody of whom none was.
    pub async fn hours_since(&self, users: &[&str], since: i64) -> Result<HashMap<String, i64>> {
        let mut ready = HashMap::new();
        for some in users.chunks(MOST_AT_ONCE) {
            let (since_at, now_at) = (some.len() + 1, some.len() + 2);
            let length = format!(
                "COALESCE(ended, ${now_at}) - CASE WHEN ready > ${since_at} THEN ready ELSE ${since_at} END"
            );
            let select = format!(
                "SELECT user_name, CAST(SUM({length}) AS BIGINT) FROM runs WHERE user_name IN ({}) \
                 AND ready IS NOT NULL AND (ended IS NULL OR ended >= ${since_at}) GROUP BY user_name",
                places(some.len()),
            );
            let mut query = sqlx::query_as(AssertSqlSafe(select));
            for user in some {
                query = query.bind((*user).to_owned());
            }
            let sums: Vec<(String, i64)> =
                query.bind(since).bind(now()).fetch_all(&self.pool).await?;
            ready.extend(sums);
        }
        Ok(ready)
    }

    /// How long the last `count` starts took that were done, in milliseconds.
    pub async fn last_start_times(&self, count: i64) -> Result<Vec<i64>> {
        let rows: Vec<(i64,)> = sqlx::query_as(
            "SELECT ready - asked FROM runs WHERE ready IS NOT NULL ORDER BY ready DESC LIMIT $1",
        )
        .bind(count)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|(time,)| time).collect())
    }
}

/// A start, or one that takes the place of another.
pub(super) async fn begin(
    tx: &mut Unit,
    server_id: i64,
    start_id: &str,
    replaces: &str,
) -> Result<()> {
    sqlx::query("DELETE FROM runs WHERE start_id = $1 AND ready IS NULL")
        .bind(replaces.to_owned())
        .execute(&mut **tx)
        .await?;
    let insert = "INSERT INTO runs (start_id, user_name, server_name, asked) \
                  SELECT $1, users.name, servers.name, servers.started FROM servers \
                  JOIN users ON users.id = servers.user_id WHERE servers.id = $2";
    sqlx::query(insert)
        .bind(start_id.to_owned())
        .bind(server_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The run of a server that ran before its Hub knew of it.
pub(super) async fn of_import(tx: &mut Unit, server_id: i64, start_id: &str) -> Result<()> {
    begin(tx, server_id, start_id, "").await?;
    sqlx::query("UPDATE runs SET ready = asked WHERE start_id = $1")
        .bind(start_id.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn end(tx: &mut Unit, server_id: i64) -> Result<()> {
    let update = "UPDATE runs SET ended = $1, failure = (SELECT failure FROM servers WHERE id = $2) \
                  WHERE start_id = (SELECT start_id FROM servers WHERE id = $2) AND ended IS NULL";
    sqlx::query(update)
        .bind(now())
        .bind(server_id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
