//! Batches of a data set in the order of a sampler, made ahead by a thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use candle_core::{Device, Result, Shape, Tensor};

use super::{Dataset, Order, Sampler};

/// Makes batches of a data set.
#[derive(Clone)]
pub struct DataLoader {
    dataset: Arc<dyn Dataset>,
    sampler: Sampler,
    batch: usize,
    ahead: usize,
    device: Device,
}

impl DataLoader {
    /// Batches of `batch` items in turn; the last one may be smaller.
    pub fn new(dataset: impl Dataset + 'static, batch: usize) -> Self {
        Self {
            dataset: Arc::new(dataset),
            sampler: Sampler::alone(Order::InTurn),
            batch: batch.max(1),
            ahead: 2,
            device: Device::Cpu,
        }
    }

    /// Every epoch in another order.
    #[must_use]
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.sampler.order = Order::Shuffled { seed };
        self
    }

    #[must_use]
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        self.sampler = sampler;
        self
    }

    /// How many batches a thread makes ahead; with 0 the caller makes them.
    #[must_use]
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.ahead = batches;
        self
    }

    /// Where the batches go.
    #[must_use]
    pub fn on(mut self, device: &Device) -> Self {
        self.device = device.clone();
        self
    }

    /// Batches per epoch.
    pub fn len(&self) -> usize {
        (self.dataset.len() / self.sampler.world.max(1)).div_ceil(self.batch)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The shape of one input.
    pub(crate) fn item_shape(&self) -> Result<Shape> {
        let (inputs, _) = self.dataset.batch(&[0])?;
        Ok(inputs.dims()[1..].into())
    }

    /// The batches of an epoch from number `first` on.
    pub fn epoch(&self, epoch: usize, first: usize) -> Batches {
        let indices = self.sampler.indices(self.dataset.len(), epoch);
        let batches = indices.chunks(self.batch).skip(first).map(<[_]>::to_vec);
        let batches: Vec<Vec<usize>> = batches.collect();
        let (dataset, device) = (self.dataset.clone(), self.device.clone());
        let make = move |indices: Vec<usize>| {
            let (inputs, targets) = dataset.batch(&indices)?;
            Ok((inputs.to_device(&device)?, targets.to_device(&device)?))
        };
        let left = batches.len();
        if self.ahead == 0 {
            let source = Source::Here(Box::new(batches.into_iter().map(make)));
            return Batches { left, source };
        }
        let (sender, receiver) = sync_channel(self.ahead - 1);
        // Ends when the batches are dropped: sending fails then.
        thread::spawn(move || {
            batches
                .into_iter()
                .map(make)
                .try_for_each(|batch| sender.send(batch))
        });
        let source = Source::Ahead(receiver);
        Batches { left, source }
    }
}

/// The batches of one epoch: inputs and targets.
pub struct Batches {
    left: usize,
    source: Source,
}

type Batch = Result<(Tensor, Tensor)>;

enum Source {
    Here(Box<dyn Iterator<Item = Batch> + Send>),
    Ahead(Receiver<Batch>),
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match &mut self.source {
            Source::Here(batches) => batches.next(),
            // It ends early only by a panic, which must not look like the end of the epoch.
            Source::Ahead(batches) => Some(batches.recv().unwrap_or_else(|_| {
                Err(candle_core::Error::msg(
                    "the thread that makes batches panicked",
                ))
            })),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}
