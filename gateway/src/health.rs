//! Whether requests should come to this process.

use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug, Default)]
pub struct Health {
    read: AtomicBool,
    ending: AtomicBool,
}

impl Health {
    /// The routes of the cluster are in force.
    pub fn set_read(&self) {
        self.read.store(true, Ordering::Relaxed);
    }

    /// The end was asked for.
    pub fn set_ending(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub fn is_ready(&self) -> bool {
        self.read.load(Ordering::Relaxed) && !self.ending.load(Ordering::Relaxed)
    }
}
