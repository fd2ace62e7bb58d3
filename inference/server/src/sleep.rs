//! Models that are loaded when they are asked for, and unloaded once nobody asks any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Load;

pub struct Sleep {
    load: Load,
    /// How long nobody uses it before it is unloaded; for ever where it is none.
    after: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    asleep: bool,
    /// Requests that wait until it is loaded, or that run.
    users: usize,
    /// When the last of them was done.
    idle: Instant,
}

impl Sleep {
    pub fn new(load: Load, after_s: Option<u64>) -> Self {
        Self {
            load,
            after: after_s.map(Duration::from_secs),
            state: Mutex::new(State {
                asleep: load == Load::Lazy,
                users: 0,
                idle: Instant::now(),
            }),
        }
    }

    /// The same model by another configuration.
    pub fn with(&self, load: Load, after_s: Option<u64>) -> Self {
        let other = Self::new(load, after_s);
        other.state().asleep = load == Load::Lazy && self.is_asleep();
        other
    }

    pub fn is_lazy(&self) -> bool {
        self.load == Load::Lazy
    }

    pub fn is_asleep(&self) -> bool {
        self.state().asleep
    }

    /// Keeps it from sleep as long as somebody has what this gives; none where it never sleeps.
    pub fn wake(self: &Arc<Self>) -> Option<Awake> {
        if !self.is_lazy() {
            return None;
        }
        let mut state = self.state();
        state.users += 1;
        state.asleep = false;
        Some(Awake(Arc::clone(self)))
    }

    pub fn rest(&self) {
        let Some(after) = self.after else { return };
        let mut state = self.state();
        if self.is_lazy() && state.users == 0 && state.idle.elapsed() >= after {
            state.asleep = true;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that uses the model.
pub struct Awake(Arc<Sleep>);

impl Drop for Awake {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.users -= 1;
        state.idle = Instant::now();
    }
}
