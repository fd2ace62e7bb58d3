//! The training loop: epochs over a data set, on one rank or many, with checkpoints, a test set and an early stop.
//!
//! ```
//! use carrel_training::prelude::*;
//!
//! let x = Tensor::rand(-1f32, 1.0, (64, 3), &Device::Cpu)?;
//! let y = x.matmul(&Tensor::new(&[[1f32], [2.0], [3.0]], &Device::Cpu)?)?;
//! let data = DataLoader::new(TensorDataset::new(x, y)?, 16).shuffle(1);
//! let mut trainer = Trainer::new(Linear::new(3, 1)?)
//!     .data(data)
//!     .loss(mse_loss)
//!     .optimizer(|parameters| Sgd::new(parameters, 0.1))?
//!     .epochs(20);
//! assert!(trainer.fit()?.loss() < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod average;
mod checkpoint;
mod exact;
mod follow;
mod history;
mod host;
mod run;

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{Device, Result, Shape, Tensor, Var};
use carrel_ranks::{Ranks, RanksError};

pub use checkpoint::{Checkpoint, CheckpointError, Progress, Training};
pub use history::{Ended, Epoch, History};
pub use host::{Host, Step, Watcher, set_host};

use average::Averaging;
pub(crate) use host::{interrupted, unwind_if_interrupted};

use crate::data::DataLoader;
use crate::nn::Layer;
use crate::optim::{Optimizer, Schedule, Sgd};
use crate::parameter_servers::{Servers, ServersError};

type Loss = Box<dyn Fn(&Tensor, &Tensor) -> Result<Tensor> + Send>;

/// Trains a model. It keeps the model, also when training is interrupted: [`Trainer::fit`] then goes on.
pub struct Trainer<M> {
    model: M,
    optimizer: Option<Box<dyn Optimizer>>,
    loss: Loss,
    data: Option<DataLoader>,
    test: Option<DataLoader>,
    schedule: Schedule,
    epochs: usize,
    clip: Option<f64>,
    patience: Option<usize>,
    checkpoints: Option<PathBuf>,
    ranks: Ranks,
    averaging: Averaging,
    servers: Option<Servers>,
    device: Device,
    stop: Arc<dyn Fn() -> bool + Send + Sync>,
    watcher: Option<Box<dyn Watcher>>,
    progress: Progress,
}

impl<M: Layer> Trainer<M> {
    /// One epoch of SGD with cross entropy, unless the other methods say otherwise.
    pub fn new(model: M) -> Self {
        Self {
            model,
            optimizer: None,
            loss: Box::new(crate::ops::cross_entropy),
            data: None,
            test: None,
            schedule: Schedule::Constant,
            epochs: 1,
            clip: None,
            patience: None,
            checkpoints: None,
            ranks: Ranks::alone(),
            averaging: Averaging::default(),
            servers: None,
            device: Device::Cpu,
            stop: Arc::new(|| false),
            watcher: None,
            progress: Progress::default(),
        }
    }

    /// What to learn from.
    #[must_use]
    pub fn data(mut self, data: DataLoader) -> Self {
        self.data = Some(data);
        self
    }

    /// What to test with after each epoch.
    #[must_use]
    pub fn test(mut self, data: DataLoader) -> Self {
        self.test = Some(data);
        self
    }

    /// Of the model's output and the targets, as a mean over the batch.
    #[must_use]
    pub fn loss(
        mut self,
        loss: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + 'static,
    ) -> Self {
        self.loss = Box::new(loss);
        self
    }

    /// Made of the model's parameters. After [`Trainer::on`], which makes new ones.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn optimizer<O: Optimizer + 'static>(
        mut self,
        make: impl FnOnce(Vec<Var>) -> Result<O>,
    ) -> Result<Self> {
        self.optimizer = Some(Box::new(make(self.model.parameters())?));
        Ok(self)
    }

    /// How the learning rate changes with the steps.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// How often to go over the data; when training goes on, those before count too.
    #[must_use]
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }

    /// Scales gradients down to this norm.
    #[must_use]
    pub fn clip(mut self, norm: f64) -> Self {
        self.clip = Some(norm);
        self
    }

    /// Ends when the test loss was no less than before for so many epochs.
    #[must_use]
    pub fn early_stop(mut self, epochs: usize) -> Self {
        self.patience = Some(epochs);
        self
    }

    /// Writes a checkpoint into `folder` after each epoch and when training is stopped, and begins with the one there.
    #[must_use]
    pub fn checkpoints(mut self, folder: impl Into<PathBuf>) -> Self {
        self.checkpoints = Some(folder.into());
        self
    }

    /// Moves model and batches to a device.
    ///
    /// # Errors
    /// When the device is lost or full.
    pub fn on(mut self, device: &Device) -> Result<Self> {
        self.model.to_device(device)?;
        self.optimizer = None;
        self.device = device.clone();
        Ok(self)
    }

    /// Trains together with the other ranks: gradients are averaged over all in each step, as by PyTorch's
    /// `DistributedDataParallel`. Each rank needs items of its own: those that its [`Sampler`](crate::data::Sampler) of
    /// the data loader deals to it; without one all ranks learn from the same. Running means of batch norm are those of
    /// each rank's own batches, and rank 0's are saved.
    #[must_use]
    pub fn ranks(mut self, ranks: Ranks) -> Self {
        self.ranks = ranks;
        self
    }

    /// Whether gradients of large models are averaged while the backward pass goes on, as they are unless told
    /// otherwise; the same on all ranks. Only those of layers on the CPU can be: candle hands over all others at the
    /// end of the pass.
    #[must_use]
    pub fn overlap(mut self, overlap: bool) -> Self {
        self.averaging = match overlap {
            true => Averaging::Unknown,
            false => Averaging::Whole,
        };
        self
    }

    /// Asked before each step; where it says so, training ends with the model as it is.
    #[must_use]
    pub fn stop_when(mut self, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.stop = Arc::new(stop);
        self
    }

    /// Who is told of steps and epochs, instead of the notebook.
    #[must_use]
    pub fn watch(mut self, watcher: impl Watcher + 'static) -> Self {
        self.watcher = Some(Box::new(watcher));
        self
    }

    pub fn model(&self) -> &M {
        &self.model
    }

    pub fn into_model(self) -> M {
        self.model
    }

    /// The shape of one input, where there are data.
    pub(crate) fn item_shape(&self) -> Option<Result<Shape>> {
        let data = self.data.as_ref().filter(|data| !data.is_empty());
        data.map(DataLoader::item_shape)
    }

    /// What was trained so far.
    pub fn history(&self) -> &History {
        &self.progress.history
    }
}

/// Why training ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("there is nothing to learn from: give the trainer .data(..) with at least one batch")]
    NoData,
    #[error(
        "the test set has no items: give the trainer a .test(..) with at least one batch, or none"
    )]
    NoTest,
    #[error(
        "the loss is {loss} in epoch {epoch}, batch {batch}: try a smaller learning rate, or look for values in the data that are not finite"
    )]
    NotFinite {
        loss: f64,
        epoch: usize,
        batch: usize,
    },
    #[error("epoch {epoch}, batch {batch}")]
    Step {
        epoch: usize,
        batch: usize,
        #[source]
        source: candle_core::Error,
    },
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    #[error(transparent)]
    Ranks(#[from] RanksError),
    #[error(transparent)]
    Servers(#[from] ServersError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl<M: Layer> Trainer<M> {
    /// The optimizer, or the one that was not asked for.
    fn ready_optimizer(&mut self) -> Result<&mut Box<dyn Optimizer>> {
        let optimizer: Box<dyn Optimizer> = match self.optimizer.take() {
            Some(optimizer) => optimizer,
            None => Box::new(Sgd::new(self.model.parameters(), 0.01)?),
        };
        Ok(self.optimizer.insert(optimizer))
    }
}
