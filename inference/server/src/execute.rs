//! One run of a network, on a thread that may wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use carrel_inference::{Model, Named, Stop};
use tokio::sync::OwnedSemaphorePermit;

use crate::failure::Failure;

/// The outputs, and how long the engine took.
pub type Computed = (Named, Duration);

/// Runs the network, and keeps the slot until the engine is done. It is stopped where nobody waits for it any more.
pub async fn execute(
    model: Arc<Model>,
    signature: String,
    inputs: Named,
    outputs: Vec<String>,
    slot: OwnedSemaphorePermit,
) -> Result<Computed, Failure> {
    let stop = Stop::default();
    let _stopped = Stopped(stop.clone());
    let computing = tokio::task::spawn_blocking(move || {
        let _slot = slot;
        let begun = Instant::now();
        let outputs = model.run_until(&signature, inputs, &outputs, &stop)?;
        Ok::<_, carrel_inference::Error>((outputs, begun.elapsed()))
    });
    let computed = computing.await.map_err(|error| {
        tracing::error!(%error, "A request broke off");
        Failure::internal("the server failed; its log says why")
    })?;
    computed.map_err(Failure::from)
}

/// Stops the run when it is dropped.
pub struct Stopped(pub Stop);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.stop();
    }
}
