//! One loaded version of a model and its turns: how many requests are computed at a time, how many wait, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use carrel_inference::{Model, Named, Signature};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant as Deadline, timeout_at};

use crate::config::ModelConfig;
use crate::failure::{Failure, Kind};
use crate::statistics::{Outcome, Statistics};

pub struct Served {
    pub name: String,
    pub version: i64,
    pub model: Arc<Model>,
    pub statistics: Statistics,
    slots: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue: usize,
    timeout: Duration,
}

/// What is asked of a version.
#[derive(Debug, Default)]
pub struct Call {
    /// The model's own default where it is none.
    pub signature: Option<String>,
    pub inputs: Named,
    /// All where none is named.
    pub outputs: Vec<String>,
    /// The longest that the caller waits, if that is less than the model's.
    pub patience: Option<Duration>,
}

impl Served {
    #[must_use]
    pub fn new(config: &ModelConfig, version: i64, model: Model) -> Self {
        Self {
            name: config.name.clone(),
            version,
            model: Arc::new(model),
            statistics: Statistics::default(),
            slots: Arc::new(Semaphore::new(config.instances.max(1))),
            waiting: AtomicUsize::new(0),
            queue: config.queue,
            timeout: config.timeout(),
        }
    }

    /// The signature of this name and its name, or that which is meant where none is named.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn signature<'a>(
        &'a self,
        name: Option<&'a str>,
    ) -> Result<(&'a str, &'a Signature), Failure> {
        let named = name.filter(|name| !name.is_empty());
        let name = named.unwrap_or_else(|| self.model.default_signature());
        let found = self.model.signature(name);
        let found = found.map_err(|error| Failure::invalid(self.named(&error)))?;
        Ok((name, found))
    }

    /// Computes the outputs.
    ///
    /// # Errors
    /// Where the inputs do not fit, too many wait, it takes too long, or the engine fails.
    pub async fn run(&self, call: Call) -> Result<Named, Failure> {
        let begun = Instant::now();
        let rows = call.inputs.first().and_then(|(_, one)| one.shape().first());
        let rows = rows.copied().unwrap_or(1);
        let done = self.compute(call, begun).await;
        let outcome = match &done {
            Ok((_, computing)) => Outcome::Success {
                rows,
                computing: *computing,
            },
            Err(_) => Outcome::Failure,
        };
        self.statistics.count(outcome, begun.elapsed());
        done.map(|(outputs, _)| outputs)
    }

    /// The outputs, and how long the engine took.
    async fn compute(&self, call: Call, begun: Instant) -> Result<(Named, Duration), Failure> {
        let (signature, expected) = self.signature(call.signature.as_deref())?;
        // Before it waits for its turn.
        let wrong = |error: carrel_inference::Error| Failure::from(error);
        expected.check(&call.inputs).map_err(wrong)?;
        expected.check_outputs(&call.outputs).map_err(wrong)?;
        let signature = signature.to_owned();
        let patience = call
            .patience
            .map_or(self.timeout, |one| one.min(self.timeout));
        let deadline = Deadline::from_std(begun) + patience;
        let late = || {
            let name = &self.name;
            let message = format!(
                "the model {name:?} did not answer in {} ms",
                patience.as_millis()
            );
            Failure::new(Kind::DeadlineExceeded, message)
        };
        let slot = timeout_at(deadline, self.turn()).await;
        let slot = slot.map_err(|_| late())??;
        let model = Arc::clone(&self.model);
        let computed = tokio::task::spawn_blocking(move || {
            // Until the engine is done, also where nobody waits for it any more.
            let _slot = slot;
            let begun = Instant::now();
            let outputs = model.run(&signature, call.inputs, &call.outputs)?;
            Ok::<_, carrel_inference::Error>((outputs, begun.elapsed()))
        });
        let computed = timeout_at(deadline, computed).await.map_err(|_| late())?;
        let computed = computed.map_err(|error| {
            tracing::error!(model = self.name, version = self.version, %error, "A request broke off");
            Failure::internal("the server failed; its log says why")
        })?;
        computed.map_err(Failure::from)
    }

    /// Waits until an instance is free.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let slots = Arc::clone(&self.slots);
        if let Ok(slot) = slots.try_acquire_owned() {
            return Ok(slot);
        }
        let Some(_place) = Place::take(&self.waiting, self.queue) else {
            let (name, queue) = (&self.name, self.queue);
            let message = format!("{queue} requests wait for the model {name:?} already");
            return Err(Failure::new(Kind::ResourceExhausted, message));
        };
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        slot.map_err(|_| Failure::new(Kind::Unavailable, "the model is being unloaded"))
    }

    fn named(&self, error: &carrel_inference::Error) -> String {
        format!("model {:?}, version {}: {error}", self.name, self.version)
    }
}

/// A place in the queue, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(waiting);
        (before < most).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
