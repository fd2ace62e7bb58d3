//! What this process has under way. Other replicas have theirs; the truth is in the database.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Starts and stops by the names of their starts, and other work that is to be done once at a time.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<Mutex<HashSet<String>>>);

/// The work is under way as long as this lives.
pub(super) struct BusyGuard {
    busy: Busy,
    work: String,
}

impl Busy {
    pub(super) fn enter(&self, work: &str) -> BusyGuard {
        self.set().insert(work.to_owned());
        self.guard(work)
    }

    /// Nothing where the work is under way already.
    pub(super) fn enter_alone(&self, work: &str) -> Option<BusyGuard> {
        let new = self.set().insert(work.to_owned());
        new.then(|| self.guard(work))
    }

    pub(super) fn contains(&self, work: &str) -> bool {
        self.set().contains(work)
    }

    fn guard(&self, work: &str) -> BusyGuard {
        BusyGuard {
            busy: self.clone(),
            work: work.to_owned(),
        }
    }

    fn set(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.busy.set().remove(&self.work);
    }
}
