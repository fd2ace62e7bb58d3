//! How much of the service each user may take up at a time, so that none holds what others wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
pub use carrel_service::Turn;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Refusal;
use crate::options::Quotas;

/// Requests of one user that are answered at a time, and at least of the ranks of one user's jobs: a rank reports, fetches its
/// objects and hands over what it has.
const ASKING: usize = 32;
const REPORTING: usize = 64;

/// Refuses what is too much.
pub struct Turns {
    turns: carrel_service::Turns,
    /// How many, and of what, for people.
    most: usize,
    what: &'static str,
}

impl Turns {
    /// Of requests of users.
    pub fn of_users() -> Self {
        Self::new(ASKING, "of your requests")
    }

    /// Of those of the ranks of one user's jobs.
    pub fn of_ranks(quotas: &Quotas) -> Self {
        let most = REPORTING.max(4 * quotas.running_ranks);
        Self::new(most, "requests of ranks of this user's jobs")
    }

    pub fn new(most: usize, what: &'static str) -> Self {
        let turns = carrel_service::Turns::new(most);
        Self { turns, most, what }
    }

    /// # Errors
    /// Where the user has as many already.
    pub fn take(&self, user: &str) -> Result<Turn, Refusal> {
        let (most, what) = (self.most, self.what);
        self.turns.take(user).ok_or_else(|| {
            let message = format!("{most} {what} are being answered: try again");
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, message)
        })
    }
}

/// Lets wait for what is too much: some of one user at a time, and some of all.
pub struct Queue {
    of_one: usize,
    of_all: Arc<Semaphore>,
    of_users: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Queue {
    pub fn new(of_one: usize, of_all: usize) -> Self {
        Self {
            of_one,
            of_all: Arc::new(Semaphore::new(of_all)),
            of_users: Mutex::default(),
        }
    }

    /// A place that is kept until it is dropped. Who waits for places of their own holds none of the others'.
    pub async fn wait(&self, user: &str) -> [Option<OwnedSemaphorePermit>; 2] {
        let own = {
            let mut users = self.of_users.lock().unwrap_or_else(PoisonError::into_inner);
            users.retain(|_, own| {
                Arc::strong_count(own) > 1 || own.available_permits() < self.of_one
            });
            let own = users.entry(user.to_owned());
            Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(self.of_one))))
        };
        // They are never closed.
        let own = own.acquire_owned().await.ok();
        let all = Arc::clone(&self.of_all).acquire_owned().await.ok();
        [own, all]
    }
}
