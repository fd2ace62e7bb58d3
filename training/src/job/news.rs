//! The newest status of a rank, between the trainer and a thread that tells somebody of it: a status that is followed by
//! another before its turn is passed over.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use carrel_ranks::lock;
use carrel_report::RankStatus;

use crate::trainer::{Epoch, History, Step, Watcher};

/// The time between two tellings.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub pause: Duration,
    /// Where the later one is urgent, such as the end of an epoch. The last one never waits.
    pub urgent: Duration,
}

#[derive(Debug, Default)]
pub struct News {
    newest: Mutex<Newest>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct Newest {
    status: RankStatus,
    /// Not told yet.
    is_new: bool,
    is_urgent: bool,
    has_ended: bool,
    /// Nothing more will be told.
    is_finished: bool,
}

impl News {
    pub fn change(&self, is_urgent: bool, change: impl FnOnce(&mut RankStatus)) {
        self.update(is_urgent, |newest| change(&mut newest.status));
    }

    fn update(&self, is_urgent: bool, change: impl FnOnce(&mut Newest)) {
        let mut newest = lock(&self.newest);
        change(&mut newest);
        newest.is_new = true;
        newest.is_urgent |= is_urgent;
        self.told.notify_all();
    }

    /// The last change; waits at most `patience` until it is told.
    pub fn end(&self, patience: Duration, change: impl FnOnce(&mut RankStatus)) {
        self.update(true, |newest| {
            change(&mut newest.status);
            newest.has_ended = true;
        });
        let newest = lock(&self.newest);
        // Whether it was told is known to the thread that did so.
        let _ = self
            .told
            .wait_timeout_while(newest, patience, |newest| !newest.is_finished);
    }

    /// Waits for something to tell, where the one before was told at `sent`: the status, and whether it is the last one.
    pub fn next(&self, sent: Option<Instant>, pace: Pace) -> (RankStatus, bool) {
        let mut newest = lock(&self.newest);
        loop {
            let pause = match (newest.has_ended, newest.is_urgent) {
                (true, _) => Duration::ZERO,
                (false, true) => pace.urgent,
                (false, false) => pace.pause,
            };
            let left = sent.map_or(Duration::ZERO, |sent| pause.saturating_sub(sent.elapsed()));
            if newest.is_new && left.is_zero() {
                (newest.is_new, newest.is_urgent) = (false, false);
                return (newest.status.clone(), newest.has_ended);
            }
            let wait = if newest.is_new { left } else { pace.pause };
            let waited = self.told.wait_timeout(newest, wait);
            (newest, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The last one was told, or cannot be.
    pub fn finish(&self) {
        lock(&self.newest).is_finished = true;
        self.told.notify_all();
    }

    /// For the trainer.
    pub fn watcher(self: &Arc<Self>) -> Box<dyn Watcher> {
        Box::new(Watching(Arc::clone(self)))
    }
}

struct Watching(Arc<News>);

impl Watcher for Watching {
    fn step(&mut self, step: &Step) {
        self.0.change(false, |status| status.step(step));
    }

    fn epoch(&mut self, number: usize, epoch: &Epoch) {
        self.0.change(true, |status| status.epoch(number, epoch));
    }

    fn end(&mut self, history: &History) {
        self.0.change(true, |status| status.end(history));
    }
}
