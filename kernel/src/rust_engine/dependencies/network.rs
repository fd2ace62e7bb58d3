//! Whether a notebook may and can ask registries.

use std::sync::atomic::{AtomicBool, Ordering};

/// What a notebook knows of it.
#[derive(Debug, Default)]
pub struct Network {
    /// The person wants it so.
    off: AtomicBool,
    /// It did not answer once, so nobody waits for it again.
    unreachable: AtomicBool,
}

impl Network {
    /// After `:offline 1`, and until `:offline 0`, which also tries again what did not answer.
    pub fn set_off(&self, off: bool) {
        self.off.store(off, Ordering::Relaxed);
        self.unreachable.store(false, Ordering::Relaxed);
    }

    pub fn is_off(&self) -> bool {
        self.off.load(Ordering::Relaxed)
    }

    pub fn is_unreachable(&self) -> bool {
        self.unreachable.load(Ordering::Relaxed)
    }

    pub fn was_unreachable(&self) {
        self.unreachable.store(true, Ordering::Relaxed);
    }
}
