//! Answers of the database that are kept for as long as nobody writes to it, whoever that would be.
//!
//! Whether somebody has is looked at before each answer is given (`look.rs`).

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::look::Look;
use super::{Db, Result};

/// So many bytes of answers are kept; then all are forgotten, as after a write.
const MOST: usize = 8 << 20;
/// No answer that takes more is kept.
const LONGEST: usize = MOST / 32;

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
    look: Look,
    kept: Mutex<Kept>,
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
            look: Look::new(url),
            kept: Mutex::default(),
        }
    }

    /// Ends the connection by which it looks.
    pub(super) fn close(&self) {
        self.look.close();
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
        let state = self.memo.look.state().await;
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
        let (folder, db) = database().await;
        let url = format!("sqlite://{}", folder.path().join("hub.sqlite").display());
        db.add_user("alice", false, None, true).await.unwrap();
        let alice = db.user("alice").await.unwrap().unwrap().id;
        let first = name(&db, alice).await.unwrap();
        assert!(Arc::ptr_eq(&first, &name(&db, alice).await.unwrap()));
        let other = Db::open(&url).await.unwrap();
        for (writer, new) in [(&db, "bob"), (&other, "carol"), (&db, "dave")] {
            sqlx::query("UPDATE users SET name = $1")
                .bind(new.to_owned())
                .execute(&writer.pool)
                .await
                .unwrap();
            assert_eq!(name(&db, alice).await.unwrap().as_str(), new);
        }
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
