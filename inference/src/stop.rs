//! Ends a run that nobody waits for any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by who runs a network and who may end that; a run that was ended fails.
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
enum State {
    #[default]
    Idle,
    /// How the engine is told.
    Running(Box<dyn Fn() + Send>),
    Stopped,
}

impl Stop {
    /// Ends the run of now, and those that begin later with this.
    pub fn stop(&self) {
        if let State::Running(tell) = std::mem::replace(&mut *self.state(), State::Stopped) {
            tell();
        }
    }

    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(*self.state(), State::Stopped)
    }

    /// Runs `work`, which `tell` ends.
    #[cfg_attr(not(feature = "onnxruntime"), allow(dead_code))]
    pub(crate) fn while_running<T>(
        &self,
        tell: impl Fn() + Send + 'static,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        {
            let mut state = self.state();
            if matches!(*state, State::Stopped) {
                return None;
            }
            *state = State::Running(Box::new(tell));
        }
        let done = work();
        let mut state = self.state();
        if matches!(*state, State::Running(_)) {
            *state = State::Idle;
        }
        Some(done)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
