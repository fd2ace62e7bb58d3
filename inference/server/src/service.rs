//! What the handlers of all protocols share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::auth::Tokens;
use crate::metrics::Metrics;
use crate::models::Models;

pub struct Service {
    pub models: Arc<Models>,
    pub metrics: Metrics,
    /// The largest body of a request in bytes.
    pub largest_body: usize,
    /// Who may ask; everybody where there are none.
    pub tokens: Option<Arc<Tokens>>,
    /// Whether the models of the start were looked at, each loaded or not.
    started: AtomicBool,
    draining: AtomicBool,
}

impl Service {
    #[must_use]
    pub fn new(models: Arc<Models>, largest_body: usize, tokens: Option<Tokens>) -> Self {
        Self {
            metrics: Metrics::new(Arc::clone(&models)),
            models,
            largest_body,
            tokens: tokens.map(Arc::new),
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
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
