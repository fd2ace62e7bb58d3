//! What one version of a model has done since it was loaded, as KServe's statistics extension counts it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    Success { rows: usize, computing: Duration },
    Failure,
}

/// Times are sums in nanoseconds.
#[derive(Debug, Default)]
pub struct Statistics {
    successes: AtomicU64,
    failures: AtomicU64,
    rows: AtomicU64,
    success_time: AtomicU64,
    failure_time: AtomicU64,
    waiting_time: AtomicU64,
    computing_time: AtomicU64,
    /// Milliseconds since 1970.
    last: AtomicU64,
}

/// The counts at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub successes: u64,
    pub failures: u64,
    pub rows: u64,
    pub success_time: u64,
    pub failure_time: u64,
    pub waiting_time: u64,
    pub computing_time: u64,
    pub last: u64,
}

impl Statistics {
    pub fn count(&self, outcome: Outcome, whole: Duration) {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let add = |counter: &AtomicU64, more: u64| counter.fetch_add(more, Ordering::Relaxed);
        match outcome {
            Outcome::Success { rows, computing } => {
                add(&self.successes, 1);
                add(&self.rows, rows as u64);
                add(&self.success_time, nanoseconds(whole));
                add(&self.computing_time, nanoseconds(computing));
                add(
                    &self.waiting_time,
                    nanoseconds(whole.saturating_sub(computing)),
                );
            }
            Outcome::Failure => {
                add(&self.failures, 1);
                add(&self.failure_time, nanoseconds(whole));
            }
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            successes: read(&self.successes),
            failures: read(&self.failures),
            rows: read(&self.rows),
            success_time: read(&self.success_time),
            failure_time: read(&self.failure_time),
            waiting_time: read(&self.waiting_time),
            computing_time: read(&self.computing_time),
            last: read(&self.last),
        }
    }
}
