//! Ends a run that nobody waits for any more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by who runs a network and who may end that; a run that was ended fails.
#[derive(Clone)]
pub struct Stop(Option<Arc<Mutex<State>>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Some(Arc::default()))
    }
}

#[derive(Default)]
enum State {
    #[default]
    Idle,
    /// How the engine is told.
    Running(Box<dyn Fn() + Send>),
    Stopped,
}

impl Stop {
    /// Of a run that nobody ends: it is too short for that.
    #[must_use]
    pub const fn never() -> Self {
        Self(None)
    }

    /// Whether nobody ends the run.
    #[cfg_attr(not(feature = "onnxruntime"), allow(dead_code))]
    pub(crate) const fn is_never(&self) -> bool {
        self.0.is_none()
    }

    /// Ends the run of now, and those that begin later with this.
    pub fn stop(&self) {
        let Some(mut state) = self.state() else {
            return;
        };
        if let State::Running(tell) = std::mem::replace(&mut *state, State::Stopped) {
            tell();
        }
    }

    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.state()
            .is_some_and(|state| matches!(*state, State::Stopped))
    }

    /// Runs `work`, which `tell` ends.
    #[cfg_attr(not(feature = "onnxruntime"), allow(dead_code))]
    pub(crate) fn while_running<T>(
        &self,
        tell: impl Fn() + Send + 'static,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        if let Some(mut state) = self.state() {
            if matches!(*state, State::Stopped) {
                return None;
            }
            *state = State::Running(Box::new(tell));
        }
        let done = work();
        if let Some(mut state) = self.state()
            && matches!(*state, State::Running(_))
        {
            *state = State::Idle;
        }
        Some(done)
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.0.as_ref()?;
        Some(state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
