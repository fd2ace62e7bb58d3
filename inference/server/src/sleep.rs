//! Models that are loaded when they are asked for, and unloaded once nobody asks any more.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::Load;

pub struct Sleep {
    load: Load,
    /// How long nobody asks before it is unloaded; for ever where it is none.
    after: Option<Duration>,
    asleep: AtomicBool,
    begun: Instant,
    /// When somebody asked last, in milliseconds from the begin.
    asked: AtomicU64,
}

impl Sleep {
    pub fn new(load: Load, after_s: Option<u64>) -> Self {
        Self {
            load,
            after: after_s.map(Duration::from_secs),
            asleep: AtomicBool::new(load == Load::Lazy),
            begun: Instant::now(),
            asked: AtomicU64::new(0),
        }
    }

    /// The same model by another configuration.
    pub fn with(&self, load: Load, after_s: Option<u64>) -> Self {
        let other = Self::new(load, after_s);
        let asleep = load == Load::Lazy && self.is_asleep();
        other.asleep.store(asleep, Ordering::Relaxed);
        other
    }

    pub fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Says whether it may have slept.
    pub fn wake(&self) -> bool {
        if self.load == Load::Eager {
            return false;
        }
        self.asked.store(self.now(), Ordering::Relaxed);
        self.asleep.store(false, Ordering::Relaxed);
        true
    }

    pub fn rest(&self) {
        let Some(after) = self.after else { return };
        let silent = self
            .now()
            .saturating_sub(self.asked.load(Ordering::Relaxed));
        if self.load == Load::Lazy && u128::from(silent) >= after.as_millis() {
            self.asleep.store(true, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
