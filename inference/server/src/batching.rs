//! Requests that are computed together: those that come within a moment become rows of one batch.

use std::sync::Arc;
use std::time::Duration;

use carrel_inference::{DataType, Named, Signature, Tensor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::config::Batching;
use crate::execute::{Computed, Runs};
use crate::failure::Failure;

/// What must be the same for two requests to be one batch: the signature, the outputs, and of each input its name, its type
/// and the shape of a row.
#[derive(Clone, Debug, PartialEq)]
struct Kind {
    signature: String,
    outputs: Vec<String>,
    inputs: Vec<(String, DataType, Vec<usize>)>,
}

/// A request that waits for its batch.
struct Job {
    kind: Kind,
    rows: usize,
    inputs: Named,
    answer: oneshot::Sender<Result<Computed, Failure>>,
    /// Those whose asker went away take memory still.
    _place: OwnedSemaphorePermit,
}

pub struct Batcher {
    has_rows: bool,
    largest: usize,
    jobs: mpsc::UnboundedSender<Job>,
}

impl Batcher {
    /// Batches of one model, each with a slot. It ends with the last of those who ask it.
    pub fn start(
        runs: Arc<Runs>,
        has_rows: bool,
        slots: Arc<Semaphore>,
        batching: Batching,
    ) -> Self {
        // Not bounded here: each job has a place.
        let (jobs, queue) = mpsc::unbounded_channel();
        let collector = Collector {
            runs,
            slots,
            batching,
            queue,
            waiting: Vec::new(),
        };
        tokio::spawn(collector.run());
        Self {
            has_rows,
            largest: batching.max_size,
            jobs,
        }
    }

    /// How many rows these inputs are of a batch; none where they cannot be part of one.
    pub fn rows(&self, signature: &Signature, inputs: &Named) -> Option<usize> {
        let mut specs = signature.inputs.iter().chain(&signature.outputs);
        if !self.has_rows || !specs.all(|spec| spec.shape.first() == Some(&None)) {
            return None;
        }
        let mut rows = inputs
            .iter()
            .map(|(_, tensor)| tensor.shape().first().copied());
        let first = rows.next()??;
        let fits = (1..=self.largest).contains(&first) && rows.all(|other| other == Some(first));
        fits.then_some(first)
    }

    /// Waits until the request was computed with others.
    pub async fn compute(
        &self,
        signature: &str,
        rows: usize,
        mut inputs: Named,
        outputs: Vec<String>,
        place: OwnedSemaphorePermit,
    ) -> Result<Computed, Failure> {
        inputs.sort_by(|(one, _), (other, _)| one.cmp(other));
        let described = inputs.iter().map(|(name, tensor)| {
            let row = tensor.shape().iter().skip(1).copied().collect();
            (name.clone(), tensor.dtype(), row)
        });
        let kind = Kind {
            signature: signature.to_owned(),
            outputs,
            inputs: described.collect(),
        };
        let (answer, answered) = oneshot::channel();
        let job = Job {
            kind,
            rows,
            inputs,
            answer,
            _place: place,
        };
        self.jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// The task that makes batches.
struct Collector {
    runs: Arc<Runs>,
    slots: Arc<Semaphore>,
    batching: Batching,
    queue: mpsc::UnboundedReceiver<Job>,
    /// Those that did not fit the last batch, the oldest first.
    waiting: Vec<Job>,
}

impl Collector {
    async fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                let Some(job) = self.queue.recv().await else {
                    return;
                };
                self.waiting.push(job);
            }
            let delay = Duration::from_micros(self.batching.max_delay_us);
            let end = Instant::now() + delay;
            // While others are computed, the batch grows.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return;
            };
            let batch = self.collect(end).await;
            if batch.is_empty() {
                continue;
            }
            tokio::spawn(compute(
                Arc::clone(&self.runs),
                Arc::clone(&self.slots),
                batch,
                slot,
            ));
        }
    }

    /// The next batch: the oldest request and those of its kind that came until `end`.
    async fn collect(&mut self, end: Instant) -> Vec<Job> {
        loop {
            while let Ok(job) = self.queue.try_recv() {
                self.waiting.push(job);
            }
            // Nobody waits for these any more.
            self.waiting.retain(|job| !job.answer.is_closed());
            if self.is_full() {
                break;
            }
            match timeout_at(end, self.queue.recv()).await {
                Ok(Some(job)) => self.waiting.push(job),
                Ok(None) | Err(_) => break,
            }
        }
        let Some(kind) = self.waiting.first().map(|job| job.kind.clone()) else {
            return Vec::new();
        };
        let (mut rows, mut batch, mut rest) = (0, Vec::new(), Vec::new());
        for job in self.waiting.drain(..) {
            if job.kind == kind && rows + job.rows <= self.batching.max_size {
                rows += job.rows;
                batch.push(job);
            } else {
                rest.push(job);
            }
        }
        self.waiting = rest;
        batch
    }

    fn is_full(&self) -> bool {
        let Some(first) = self.waiting.first() else {
            return false;
        };
        let same = self.waiting.iter().filter(|job| job.kind == first.kind);
        same.map(|job| job.rows).sum::<usize>() >= self.batching.max_size
    }
}

/// Computes a batch and answers each request of it; each alone where they cannot be computed together.
async fn compute(
    runs: Arc<Runs>,
    slots: Arc<Semaphore>,
    mut batch: Vec<Job>,
    slot: OwnedSemaphorePermit,
) {
    let mut slot = Some(slot);
    if batch.len() > 1
        && let Some(parts) = together(&runs, &mut batch, &mut slot).await
    {
        for (job, part) in batch.into_iter().zip(parts) {
            // Those who do not wait any more need no answer.
            let _ = job.answer.send(Ok(part));
        }
        return;
    }
    for mut job in batch {
        let computed = async {
            let slot = match slot.take() {
                Some(slot) => slot,
                None => Arc::clone(&slots)
                    .acquire_owned()
                    .await
                    .map_err(|_| gone())?,
            };
            let Kind {
                signature, outputs, ..
            } = job.kind;
            runs.execute(signature, job.inputs, outputs, slot).await
        };
        tokio::select! {
            biased;
            // Stopped, or not begun.
            () = job.answer.closed() => {}
            computed = computed => {
                let _ = job.answer.send(computed);
            }
        }
    }
}

fn gone() -> Failure {
    Failure::internal("the batch broke off")
}

async fn all_closed(batch: &mut [Job]) {
    for job in batch {
        job.answer.closed().await;
    }
}

/// The outputs of each request; none where the batch fails, or its outputs have other rows.
async fn together(
    runs: &Arc<Runs>,
    batch: &mut [Job],
    slot: &mut Option<OwnedSemaphorePermit>,
) -> Option<Vec<Computed>> {
    let kind = &batch.first()?.kind;
    let mut inputs = Vec::with_capacity(kind.inputs.len());
    for (index, (name, ..)) in kind.inputs.iter().enumerate() {
        let tensors = batch.iter().filter_map(|job| job.inputs.get(index));
        let all = Tensor::concatenate(tensors.map(|(_, tensor)| tensor)).ok()??;
        inputs.push((name.clone(), all));
    }
    let (signature, outputs) = (kind.signature.clone(), kind.outputs.clone());
    let rows: Vec<usize> = batch.iter().map(|job| job.rows).collect();
    let computed = runs.execute(signature, inputs, outputs, slot.take()?);
    let (outputs, time) = tokio::select! {
        computed = computed => computed.ok()?,
        // Nobody waits: it is stopped.
        () = all_closed(batch) => return None,
    };
    let mut parts: Vec<Computed> = vec![(Vec::new(), time); batch.len()];
    for (name, output) in &outputs {
        for (part, tensor) in parts.iter_mut().zip(output.split(&rows)?) {
            part.0.push((name.clone(), tensor));
        }
    }
    Some(parts)
}
