//! One unit of work: what a request changes, and the row that tells who did it, or neither.

use std::ops::{Deref, DerefMut};

use sqlx::any::{AnyArguments, AnyQueryResult};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Transaction};

use super::audit::{self, Open};
use super::{Db, Result};

/// A transaction that will write. The first one of a request writes down the request too.
#[derive(Debug)]
pub struct Unit(Transaction<'static, Any>);

impl Unit {
    pub(super) fn of(transaction: Transaction<'static, Any>) -> Self {
        Self(transaction)
    }

    pub async fn commit(mut self) -> Result<()> {
        let Some(open) = Open::current().filter(|open| open.id().is_none()) else {
            return self.0.commit().await;
        };
        let _turn = open.turn().await;
        if open.id().is_some() {
            return self.0.commit().await;
        }
        let id = audit::insert(&mut self.0, &open).await?;
        self.0.commit().await?;
        if let Some(id) = id {
            open.is_written(id);
        }
        Ok(())
    }
}

impl Deref for Unit {
    type Target = AnyConnection;
    fn deref(&self) -> &AnyConnection {
        &self.0
    }
}

impl DerefMut for Unit {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.0
    }
}

/// A unit of work of one statement.
pub(super) trait Write {
    async fn write(self, db: &Db) -> Result<AnyQueryResult>;
}

impl Write for Query<'_, Any, AnyArguments> {
    async fn write(self, db: &Db) -> Result<AnyQueryResult> {
        if Open::current().is_none_or(|open| open.id().is_some()) {
            return self.execute(&db.pool).await;
        }
        let mut unit = db.begin().await?;
        let done = self.execute(&mut *unit).await?;
        // Where nothing has changed there is nothing to tell yet.
        if done.rows_affected() > 0 {
            unit.commit().await?;
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::super::audit::{NOT_ANSWERED, Who, carry};
    use super::super::tests::database;
    use super::*;

    fn asked() -> std::sync::Arc<Open> {
        let open = Open::new(
            "127.0.0.1".into(),
            "POST".into(),
            "/hub/api/users/bob".into(),
        );
        open.by(Who {
            kind: "user",
            name: "ada".into(),
            token_id: None,
        });
        open
    }

    async fn statuses(db: &Db) -> Vec<i64> {
        let (deeds, _) = db.deeds(None, 0, 10).await.unwrap();
        deeds.iter().map(|deed| deed.status).collect()
    }

    #[tokio::test]
    async fn a_request_is_written_down_once_with_the_first_thing_that_it_changes() {
        let (_folder, db) = database().await;
        let open = asked();
        let work = async {
            // What changes nothing tells nothing.
            assert!(!db.remove_group("none").await.unwrap());
            assert!(statuses(&db).await.is_empty());
            assert!(db.add_user_by_admin("bob", false).await.unwrap());
            assert_eq!(statuses(&db).await, [NOT_ANSWERED]);
            let other = db.clone();
            let carried = carry(async move { other.add_user_by_admin("carol", false).await });
            assert!(tokio::spawn(carried).await.unwrap().unwrap());
        };
        let at_once = async {
            let names = ["dora", "emil", "fay"];
            let added = names.map(|name| db.add_user_by_admin(name, false));
            futures_util::future::join_all(added).await
        };
        open.clone().hold(work).await;
        db.answered(&open, 201).await.unwrap();
        assert_eq!(statuses(&db).await, [201]);
        // One that has changed nothing is told too.
        db.answered(&asked(), 403).await.unwrap();
        assert_eq!(statuses(&db).await, [403, 201]);
        // Nor is one told twice that does several things at once.
        asked()
            .hold(at_once)
            .await
            .into_iter()
            .for_each(|added| assert!(added.unwrap()));
        assert_eq!(statuses(&db).await, [NOT_ANSWERED, 403, 201]);
        let nobody = Open::new(String::new(), String::new(), String::new());
        db.answered(&nobody, 403).await.unwrap();
        assert_eq!(statuses(&db).await.len(), 3);
    }

    #[tokio::test]
    async fn what_cannot_be_told_is_not_done() {
        let (_folder, db) = database().await;
        sqlx::raw_sql("DROP TABLE audit")
            .execute(&db.pool)
            .await
            .unwrap();
        let work = async {
            db.add_user_by_admin("bob", false).await.unwrap_err();
            let names = ["staff".to_owned()];
            db.add_groups(&names, &[]).await.map(drop).unwrap_err();
        };
        asked().hold(work).await;
        assert!(db.user("bob").await.unwrap().is_none());
        assert!(db.groups().await.unwrap().is_empty());
        // The Hub's own work is nobody's request.
        assert!(db.add_user_by_admin("bob", false).await.unwrap());
    }
}
