//! How much of the service each user may take up at a time, so that none holds what others wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answer::Refusal;

type Taken = Arc<Mutex<HashMap<String, usize>>>;

/// Refuses what is too much.
pub struct Turns {
    /// Of one user at a time, and what it is, for people.
    most: usize,
    what: &'static str,
    taken: Taken,
}

/// Given back when it is dropped.
pub struct Turn {
    user: String,
    taken: Taken,
}

impl Turns {
    pub fn new(most: usize, what: &'static str) -> Self {
        Self {
            most,
            what,
            taken: Taken::default(),
        }
    }

    /// # Errors
    /// Where the user has as many already.
    pub fn take(&self, user: &str) -> Result<Turn, Refusal> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(user.to_owned()).or_default();
        if *count >= self.most {
            let message = format!("{} {} are being answered: try again", self.most, self.what);
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
        }
        *count += 1;
        let (user, taken) = (user.to_owned(), Arc::clone(&self.taken));
        Ok(Turn { user, taken })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.user);
            }
        }
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
