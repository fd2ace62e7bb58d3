//! Rows that tell who did what. That of a request is written with the first thing that it changes (`unit.rs`).

use std::sync::{Arc, OnceLock};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task_local;

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
    /// Of the answer; [`NOT_ANSWERED`] before there is one.
    pub status: i64,
}

/// The status of a request that the Hub did not live to answer, and of one that it is at.
pub const NOT_ANSWERED: i64 = 0;

task_local! {
    static OPEN: Arc<Open>;
}

/// A request that may change something.
#[derive(Debug)]
pub struct Open {
    pub at: i64,
    pub address: String,
    pub method: String,
    pub path: String,
    by: OnceLock<Who>,
    /// Key of its row.
    id: OnceLock<i64>,
    /// Held by who writes the row: what a request does at once has one.
    writing: Mutex<()>,
}

/// Who makes a request.
#[derive(Debug, Clone)]
pub struct Who {
    /// `user` or `service`.
    pub kind: &'static str,
    pub name: String,
    /// None for a browser.
    pub token_id: Option<i64>,
}

impl Open {
    pub fn new(address: String, method: String, path: String) -> Arc<Self> {
        Arc::new(Self {
            at: now(),
            address,
            method,
            path,
            by: OnceLock::new(),
            id: OnceLock::new(),
            writing: Mutex::default(),
        })
    }

    /// The one that this task works for.
    pub fn current() -> Option<Arc<Self>> {
        OPEN.try_with(Arc::clone).ok()
    }

    /// What is said first stays.
    pub fn by(&self, who: Who) {
        let _ = self.by.set(who);
    }

    pub(super) fn id(&self) -> Option<i64> {
        self.id.get().copied()
    }

    /// Waits until nobody writes the row; then it is this one's to write, if nobody has.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    pub(super) fn is_written(&self, id: i64) {
        let _ = self.id.set(id);
    }

    /// Has all that `work` changes be of this request.
    pub async fn hold<T>(self: Arc<Self>, work: impl Future<Output = T>) -> T {
        OPEN.scope(self, work).await
    }
}

/// `work` for another task, which goes on with the request of this one.
pub fn carry<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let open = Open::current();
    async move {
        match open {
            Some(open) => open.hold(work).await,
            None => work.await,
        }
    }
}

/// None where nobody makes the request yet: of such there is nothing to tell.
pub(super) async fn insert(connection: &mut AnyConnection, open: &Open) -> Result<Option<i64>> {
    let Some(who) = open.by.get() else {
        return Ok(None);
    };
    let id = new_id();
    let insert = "INSERT INTO audit (id, at, kind, name, token_id, address, method, path, status) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    sqlx::query(insert)
        .bind(id)
        .bind(open.at)
        .bind(who.kind)
        .bind(who.name.clone())
        .bind(who.token_id)
        .bind(open.address.clone())
        .bind(open.method.clone())
        .bind(open.path.clone())
        .bind(NOT_ANSWERED)
        .execute(connection)
        .await?;
    Ok(Some(id))
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
    /// Writes down how a request was answered, and the request itself where it has changed nothing.
    pub async fn answered(&self, open: &Open, status: i64) -> Result<()> {
        if open.id().is_none() && open.by.get().is_none() {
            return Ok(());
        }
        let mut unit = self.begin().await?;
        let id = match open.id() {
            Some(id) => Some(id),
            None => insert(&mut unit, open).await?,
        };
        let Some(id) = id else {
            return Ok(());
        };
        open.is_written(id);
        sqlx::query("UPDATE audit SET status = $1 WHERE id = $2")
            .bind(status)
            .bind(id)
            .execute(&mut *unit)
            .await?;
        unit.commit().await
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
