//! One loaded version of a model and its turns: how many requests are computed at a time, how many wait, and for how long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use carrel_inference::{Model, Named, Signature};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant as Deadline, timeout_at};

use crate::batching::Batcher;
use crate::config::ModelConfig;
use crate::execute::{Computed, Runs};
use crate::failure::{Failure, Kind};
use crate::statistics::{Outcome, Statistics};
use crate::trace::Traces;

pub struct Served {
    pub name: String,
    pub version: i64,
    pub model: Arc<Model>,
    pub statistics: Statistics,
    slots: Arc<Semaphore>,
    batcher: Option<Batcher>,
    runs: Arc<Runs>,
    traces: Arc<Traces>,
    /// Places for those that wait.
    places: Arc<Semaphore>,
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
    /// Within a runtime: batches are made by a task.
    #[must_use]
    pub(crate) fn new(
        config: &ModelConfig,
        version: i64,
        model: Arc<Model>,
        traces: Arc<Traces>,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(config.instances.max(1)));
        let runs = Arc::new(Runs::new(Arc::clone(&model)));
        let start = |batching| {
            let (runs, slots) = (Arc::clone(&runs), Arc::clone(&slots));
            Batcher::start(runs, model.has_rows(), slots, batching)
        };
        Self {
            name: config.name.clone(),
            version,
            batcher: config.batching.map(start),
            runs,
            traces,
            model,
            statistics: Statistics::default(),
            slots,
            places: Arc::new(Semaphore::new(config.queue.min(Semaphore::MAX_PERMITS))),
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
        let whole = begun.elapsed();
        self.statistics.count(outcome, whole);
        let computing = done.as_ref().ok().map(|(_, computing)| *computing);
        let (name, version) = (&self.name, self.version);
        self.traces.request(name, version, whole, computing);
        done.map(|(outputs, _)| outputs)
    }

    /// The outputs, and how long the engine took.
    async fn compute(&self, call: Call, begun: Instant) -> Result<Computed, Failure> {
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
        let rows = self
            .batcher
            .as_ref()
            .and_then(|one| one.rows(expected, &call.inputs));
        let computed = async {
            match (&self.batcher, rows) {
                (Some(batcher), Some(rows)) => {
                    let place = self.place()?;
                    batcher
                        .compute(&signature, rows, call.inputs, call.outputs, place)
                        .await
                }
                _ => {
                    let slot = self.turn().await?;
                    let runs = &self.runs;
                    runs.execute(signature, call.inputs, call.outputs, slot)
                        .await
                }
            }
        };
        timeout_at(deadline, computed).await.map_err(|_| late())?
    }

    /// How often the engine ran: several requests may be one batch.
    #[must_use]
    pub fn executions(&self) -> u64 {
        self.runs.count()
    }

    /// Waits until an instance is free.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let slots = Arc::clone(&self.slots);
        if let Ok(slot) = slots.try_acquire_owned() {
            return Ok(slot);
        }
        let _place = self.place()?;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        slot.map_err(|_| Failure::new(Kind::Unavailable, "the model is being unloaded"))
    }

    /// A place among those that wait.
    fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        place.map_err(|_| {
            let (name, queue) = (&self.name, self.queue);
            let message = format!("{queue} requests wait for the model {name:?} already");
            Failure::new(Kind::ResourceExhausted, message)
        })
    }

    fn named(&self, error: &carrel_inference::Error) -> String {
        format!("model {:?}, version {}: {error}", self.name, self.version)
    }
}
