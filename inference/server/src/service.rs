//! What the handlers of all protocols share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::auth::Tokens;
use crate::failure::{Failure, Kind};
use crate::metrics::Metrics;
use crate::models::Models;

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The body of one request.
    pub largest_body: usize,
    /// All bodies that are read or answered at a time.
    pub bodies: usize,
}

/// Who may ask for what.
#[derive(Default)]
pub struct Access {
    /// Who may ask; everybody where there are none.
    pub tokens: Option<Tokens>,
    /// Whether those who ask may load and unload models, and bring another configuration.
    pub model_control: bool,
}

pub struct Service {
    pub models: Arc<Models>,
    pub metrics: Metrics,
    /// The largest body of a request in bytes.
    pub largest_body: usize,
    /// What bodies may take together, in KiB.
    pub bodies: Arc<Semaphore>,
    /// All of it, in KiB.
    pub most_bodies: usize,
    /// Who may ask; everybody where there are none.
    pub tokens: Option<Arc<Tokens>>,
    model_control: bool,
    /// Whether the models of the start were looked at, each loaded or not.
    started: AtomicBool,
    draining: AtomicBool,
    was_busy: AtomicBool,
}

impl Service {
    #[must_use]
    pub fn new(models: Arc<Models>, limits: Limits, access: Access) -> Self {
        let most = kibibytes(limits.bodies.max(limits.largest_body));
        Self {
            metrics: Metrics::new(Arc::clone(&models)),
            models,
            largest_body: limits.largest_body,
            bodies: Arc::new(Semaphore::new(most)),
            most_bodies: most,
            tokens: access.tokens.map(Arc::new),
            model_control: access.model_control,
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            was_busy: AtomicBool::new(false),
        }
    }

    /// Whether those who ask may change which models are loaded.
    ///
    /// # Errors
    /// Where they may not.
    pub fn check_control(&self) -> Result<(), Failure> {
        match self.model_control {
            true => Ok(()),
            false => {
                let message = "models are not loaded or unloaded by requests; --model-control of the server allows it";
                Err(Failure::new(Kind::PermissionDenied, message))
            }
        }
    }

    /// Whether there was no request since the last time that it was asked, and some before.
    pub fn is_quiet_again(&self) -> bool {
        let quiet = self.bodies.available_permits() == self.most_bodies;
        match self.metrics.was_used() || !quiet {
            true => {
                self.was_busy.store(true, Ordering::Relaxed);
                false
            }
            false => self.was_busy.swap(false, Ordering::Relaxed),
        }
    }

    pub fn has_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// No longer ready, so that load balancers send requests elsewhere; those that come are answered.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server takes requests. It does not depend on any model: one that is broken is no reason to restart.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.started.load(Ordering::Relaxed) && !self.draining.load(Ordering::Relaxed)
    }
}

/// So many bytes in KiB, at least one, and no more than a semaphore counts.
pub fn kibibytes(bytes: usize) -> usize {
    bytes.div_ceil(1024).clamp(1, u32::MAX as usize)
}
