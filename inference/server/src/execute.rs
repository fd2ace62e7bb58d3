//! Runs of a network: on a thread that may wait, or where the request is if that takes less time than to go there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use carrel_inference::{Model, Named, Stop};
use tokio::sync::OwnedSemaphorePermit;

use crate::failure::Failure;

/// The outputs, and how long the engine took.
pub type Computed = (Named, Duration);

/// A run that is shorter keeps other requests for no longer than a message.
const QUICK: Duration = Duration::from_micros(100);
/// So many quick runs one after the other, and the next is taken for one.
const TRUSTED: u32 = 16;
/// Inputs of so many bytes; what is quick for a row may not be for a thousand.
const SMALL: usize = 1 << 12;

/// The runs of one network.
pub struct Runs {
    model: Arc<Model>,
    count: AtomicU64,
    /// How many of the last were quick.
    quick: AtomicU32,
}

impl Runs {
    #[must_use]
    pub fn new(model: Arc<Model>) -> Self {
        Self {
            model,
            count: AtomicU64::new(0),
            quick: AtomicU32::new(0),
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Runs the network, and keeps the slot until the engine is done. It is stopped where nobody waits for it any more.
    pub async fn execute(
        self: &Arc<Self>,
        signature: String,
        inputs: Named,
        outputs: Vec<String>,
        slot: OwnedSemaphorePermit,
    ) -> Result<Computed, Failure> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let bytes: usize = inputs.iter().map(|(_, one)| one.memory()).sum();
        if bytes <= SMALL && self.quick.load(Ordering::Relaxed) >= TRUSTED {
            let _slot = slot;
            return self.run(&signature, inputs, &outputs, &Stop::never());
        }
        let stop = Stop::default();
        let _stopped = Stopped(stop.clone());
        let runs = Arc::clone(self);
        let computing = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            runs.run(&signature, inputs, &outputs, &stop)
        });
        computing.await.map_err(|error| {
            tracing::error!(%error, "A request broke off");
            Failure::internal("the server failed; its log says why")
        })?
    }

    fn run(
        &self,
        signature: &str,
        inputs: Named,
        outputs: &[String],
        stop: &Stop,
    ) -> Result<Computed, Failure> {
        let begun = Instant::now();
        let found = self.model.run_until(signature, inputs, outputs, stop);
        let time = begun.elapsed();
        match time < QUICK {
            true => drop(self.quick.fetch_add(1, Ordering::Relaxed)),
            false => self.quick.store(0, Ordering::Relaxed),
        }
        Ok((found?, time))
    }
}

/// Stops the run when it is dropped.
pub struct Stopped(pub Stop);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.stop();
    }
}
