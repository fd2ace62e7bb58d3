//! Answers of the database that are kept for as long as nobody writes to it, whoever that would be.
//!
//! Whether somebody has is one question, asked before each answer is given: of SQLite the version of its data, of
//! PostgreSQL the snapshot that a transaction would see now (commits and nothing else change what is seen). Requests that
//! come together share it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::debug;

use super::{Db, Result};

/// So many bytes of answers are kept; then all are forgotten, as after a write.
const MOST: usize = 8 << 20;
/// No answer that takes more is kept.
const LONGEST: usize = MOST / 32;
/// How long all who ask wait for the database.
const PATIENCE: Duration = Duration::from_secs(5);

type Answer = Arc<dyn Any + Send + Sync>;

/// What can be kept.
pub trait Keep: Any + Send + Sync {
    /// About how many bytes of memory it takes, without its key.
    fn size(&self) -> usize {
        4096
    }
}

#[derive(Debug)]
pub(super) struct Memo {
    url: String,
    /// How many looks have begun.
    looks: AtomicU64,
    look: Mutex<Look>,
    kept: StdMutex<Kept>,
}

/// What the last look at the database has seen.
#[derive(Debug, Default)]
struct Look {
    connection: Option<Connection>,
    seen: String,
    /// Grows with each change.
    state: u64,
}

/// Never one that writes: SQLite counts the changes of other connections only.
#[derive(Debug)]
enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Answers that hold in one state of the database.
#[derive(Debug, Default)]
struct Kept {
    state: u64,
    answers: HashMap<String, Answer>,
    /// That these take.
    bytes: usize,
}

impl Memo {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            looks: AtomicU64::new(0),
            look: Mutex::default(),
            kept: StdMutex::default(),
        }
    }

    /// Which state the database is in; none where that cannot be told.
    async fn state(&self) -> Option<u64> {
        let before = self.looks.load(Ordering::SeqCst);
        let mut look = self.look.lock().await;
        // One that has begun since is as good as another, also where it has failed.
        if self.looks.load(Ordering::SeqCst) > before {
            return look.connection.as_ref().map(|_| look.state);
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
        // Both are lost where this future is dropped in between: the connection might give the answer to another question,
        // and a new one counts from the same number again.
        let (connection, last) = (look.connection.take(), std::mem::take(&mut look.seen));
        let asked = timeout(PATIENCE, Connection::ask(connection, &self.url)).await;
        let (connection, seen) = match asked {
            Ok(Ok(asked)) => asked,
            Ok(Err(error)) => {
                debug!(%error, "Could not ask whether the database has changed");
                return None;
            }
            Err(late) => {
                debug!(%late, "The database does not say whether it has changed");
                return None;
            }
        };
        if seen != last {
            look.state += 1;
        }
        (look.connection, look.seen) = (Some(connection), seen);
        Some(look.state)
    }

    fn find(&self, state: u64, key: &str) -> Option<Answer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.answers
            .get(key)
            .filter(|_| kept.state == state)
            .cloned()
    }

    fn keep(&self, state: u64, key: String, answer: Arc<impl Keep>) {
        let size = key.len() + answer.size();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if state < kept.state || size > LONGEST {
            return;
        }
        if state > kept.state || kept.bytes + size > MOST {
            *kept = Kept {
                state,
                ..Kept::default()
            };
        }
        // Requests that come together may each have found it.
        if kept.answers.insert(key, answer).is_none() {
            kept.bytes += size;
        }
    }
}

impl Connection {
    /// What differs between any two states of the database, by this connection or by a new one.
    async fn ask(connection: Option<Self>, url: &str) -> Result<(Self, String)> {
        let mut connection = match connection {
            Some(connection) => connection,
            None if url.starts_with("sqlite:") => {
                Self::Sqlite(SqliteConnection::connect(url).await?)
            }
            None => Self::Postgres(PgConnection::connect(url).await?),
        };
        let seen = match &mut connection {
            Self::Sqlite(connection) => {
                let version = sqlx::query_scalar::<_, i64>("PRAGMA data_version");
                version.fetch_one(connection).await?.to_string()
            }
            Self::Postgres(connection) => {
                let snapshot = sqlx::query_scalar("SELECT txid_current_snapshot()::text");
                snapshot.fetch_one(connection).await?
            }
        };
        Ok((connection, seen))
    }
}

impl Db {
    /// What `find` finds: as it was found before where nobody has written to the database since.
    pub async fn memo<T: Keep, E>(
        &self,
        key: String,
        find: impl Future<Output = Result<T, E>>,
    ) -> Result<Arc<T>, E> {
        let (state, kept) = self.kept(&key).await;
        match kept {
            Some(kept) => Ok(kept),
            None => Ok(self.keep(state, key, find.await?)),
        }
    }

    /// The same where there may be none: that is not kept, so that nobody fills the memory with questions.
    pub async fn memo_if_found<T: Keep, E>(
        &self,
        key: String,
        find: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<Option<Arc<T>>, E> {
        let (state, kept) = self.kept(&key).await;
        match kept {
            Some(kept) => Ok(Some(kept)),
            None => Ok(find.await?.map(|found| self.keep(state, key, found))),
        }
    }

    /// The state of the database, and the answer that is kept of it.
    async fn kept<T: Keep>(&self, key: &str) -> (Option<u64>, Option<Arc<T>>) {
        let state = self.memo.state().await;
        let kept = state.and_then(|state| self.memo.find(state, key));
        (state, kept.and_then(|kept| Arc::downcast(kept).ok()))
    }

    fn keep<T: Keep>(&self, state: Option<u64>, key: String, found: T) -> Arc<T> {
        let found = Arc::new(found);
        if let Some(state) = state {
            self.memo.keep(state, key, found.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::super::tests::database;
    use super::*;

    impl Keep for String {}

    impl Keep for Vec<u8> {
        fn size(&self) -> usize {
            self.len()
        }
    }

    async fn name(db: &Db, id: i64) -> Option<Arc<String>> {
        let find = async { Ok::<_, sqlx::Error>(db.user_by_id(id).await?.map(|user| user.name)) };
        let found = db.memo_if_found(format!("name {id}"), find).await;
        found.unwrap()
    }

    /// By this Hub, or by another program.
    #[tokio::test]
    async fn an_answer_is_kept_until_somebody_writes() {
        let (_folder, db) = database().await;
        db.add_user("alice", false, None, true).await.unwrap();
        let alice = db.user("alice").await.unwrap().unwrap().id;
        let first = name(&db, alice).await.unwrap();
        assert!(Arc::ptr_eq(&first, &name(&db, alice).await.unwrap()));
        let other = Db::open(&db.memo.url).await.unwrap();
        for (writer, new) in [(&db, "bob"), (&other, "carol"), (&db, "dave")] {
            sqlx::query("UPDATE users SET name = $1")
                .bind(new.to_owned())
                .execute(&writer.pool)
                .await
                .unwrap();
            assert_eq!(name(&db, alice).await.unwrap().as_str(), new);
        }
    }

    /// The connection of a look whose request has gone is another's no more, and each new one counts from the same number.
    #[tokio::test]
    async fn a_look_that_is_dropped_hides_no_write() {
        let (_folder, db) = database().await;
        db.add_user("alice", false, None, true).await.unwrap();
        let alice = db.user("alice").await.unwrap().unwrap().id;
        let mut dropped = 0;
        for number in 0..20 {
            name(&db, alice).await.unwrap();
            sqlx::query("UPDATE users SET name = $1")
                .bind(format!("alice{number}"))
                .execute(&db.pool)
                .await
                .unwrap();
            // SQLite's thread may be quicker than this one.
            dropped += usize::from(db.memo.state().now_or_never().is_none());
            assert_eq!(*name(&db, alice).await.unwrap(), format!("alice{number}"));
        }
        assert!(dropped > 0);
    }

    #[tokio::test]
    async fn what_is_not_found_is_asked_for_again() {
        let (_folder, db) = database().await;
        assert_eq!(name(&db, 7).await, None);
        let kept = db.memo.kept.lock().unwrap();
        assert!(kept.answers.is_empty());
    }

    /// An answer that was long in coming, of a state that is past.
    #[tokio::test]
    async fn an_answer_of_the_past_is_not_kept() {
        let (_folder, db) = database().await;
        let memo = &db.memo;
        memo.keep(2, "a".to_owned(), Arc::new("new".to_owned()));
        memo.keep(1, "a".to_owned(), Arc::new("old".to_owned()));
        assert!(memo.find(1, "a").is_none());
        let kept = memo.find(2, "a").unwrap();
        assert_eq!(kept.downcast_ref::<String>().unwrap(), "new");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let (_folder, db) = database().await;
        let memo = &db.memo;
        let bytes = |size| Arc::new(vec![0_u8; size]);
        memo.keep(1, "too long".to_owned(), bytes(LONGEST));
        assert!(memo.find(1, "too long").is_none());
        for number in 0..100 {
            memo.keep(1, number.to_string(), bytes(LONGEST / 2));
            assert!(memo.find(1, &number.to_string()).is_some());
            assert!(memo.kept.lock().unwrap().bytes <= MOST);
        }
        let kept = memo.kept.lock().unwrap();
        let sizes = kept
            .answers
            .iter()
            .map(|(key, kept)| key.len() + kept.downcast_ref::<Vec<u8>>().unwrap().size());
        let sum: usize = sizes.sum();
        assert_eq!(kept.bytes, sum);
    }
}
