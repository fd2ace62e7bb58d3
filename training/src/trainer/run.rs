//! The loop itself.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use candle_core::{DType, Result as TensorResult, Tensor};
use carrel_ranks::{Ranks, lock};

use super::{
    Checkpoint, CheckpointError, Ended, Epoch, History, Step, TrainError, Trainer, Watcher,
    average, host,
};
use crate::data::{DataLoader, accuracy};
use crate::nn::{Layer, Part};
use crate::optim::clip_grad_norm;
use crate::parameter_servers::Servers;
use crate::random::Random;

impl<M: Layer> Trainer<M> {
    /// Trains up to the number of epochs, from where it stands: from the newest checkpoint, or where an interrupt came.
    ///
    /// # Errors
    /// When a step fails, a rank is lost, or a checkpoint cannot be read or written. The model stays as it was after
    /// the last whole step, and is written as a checkpoint if there is a folder for them.
    pub fn fit(&mut self) -> Result<History, TrainError> {
        let mut watcher = self.watcher.take().unwrap_or_else(host::watcher);
        // An interrupt may unwind in the model's own code, and the trainer is to be as it was before that step.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            self.run(watcher.as_mut()).and_then(|()| self.leave())
        }));
        if let Ok(Ok(())) = ended {
            watcher.end(&self.progress.history);
        }
        self.watcher = Some(watcher);
        let ended = match ended {
            Ok(ended) => ended,
            Err(payload) => resume_unwind(payload),
        };
        host::unwind_if_interrupted();
        match ended {
            Ok(()) => Ok(self.progress.history.clone()),
            Err(error) => {
                // The others learn at once that this rank is gone.
                std::mem::replace(&mut self.ranks, Ranks::alone()).abort();
                Err(error)
            }
        }
    }

    fn run(&mut self, watcher: &mut dyn Watcher) -> Result<(), TrainError> {
        let data = self.data.clone().filter(|data| !data.is_empty());
        let data = data.ok_or(TrainError::NoData)?.on(&self.device);
        self.check_test()?;
        self.begin()?;
        let mut pace = Pace {
            begun: Instant::now(),
            items: 0,
        };
        if self.progress.history.ended == Ended::Early && self.is_stuck()? {
            return Ok(());
        }
        while self.progress.epoch < self.epochs {
            let ended = self.epoch(&data, &mut pace, watcher);
            match ended {
                Ok(true) => self.save()?,
                Ok(false) => {
                    self.progress.history.ended = Ended::Stopped;
                    return self.save();
                }
                Err(error) => {
                    if matches!(error, TrainError::Ranks(_)) {
                        self.save()?;
                    }
                    return Err(error);
                }
            }
            let number = self.progress.epoch - 1;
            watcher.epoch(number, &self.progress.history.epochs[number]);
            if self.is_stuck()? {
                self.progress.history.ended = Ended::Early;
                // So that a job that is started again does not train on.
                return self.save();
            }
        }
        self.progress.history.ended = Ended::Done;
        // Nobody leaves while another still needs its part of a sum.
        Ok(self.ranks.barrier()?)
    }

    /// Takes the state of rank 0 on all ranks: that of its newest checkpoint, if it has one.
    fn begin(&mut self) -> Result<(), TrainError> {
        self.ready_optimizer()?;
        let (model, Some(optimizer)) = (&self.model, &mut self.optimizer) else {
            return Ok(());
        };
        let mut checkpoint = None;
        if let (0, Some(folder), 0) = (self.ranks.rank(), &self.checkpoints, self.progress.steps) {
            checkpoint = Checkpoint::newest(folder)?;
        }
        if self.ranks.world() > 1 {
            let own = match (checkpoint, self.ranks.rank()) {
                (None, 0) => Some(Checkpoint::of(model, optimizer.as_ref(), &self.progress)?),
                (checkpoint, _) => checkpoint,
            };
            checkpoint = Some(share(&mut self.ranks, own)?);
        }
        if let Some(checkpoint) = checkpoint {
            self.progress = checkpoint.restore(model, optimizer.as_mut())?;
            if self.ranks.rank() > 0 {
                // The losses are those of rank 0's batches.
                self.progress.loss = f64::NAN;
            }
        }
        if self.progress.batch == 0 {
            self.progress.loss = 0.0;
        }
        if self.ranks.servers() > 0 && self.servers.is_none() {
            let servers = Servers::new(optimizer.parameters(), &self.ranks);
            if self.ranks.rank() == 0 {
                servers.set(&self.ranks, optimizer.parameters(), &optimizer.state()?)?;
            }
            self.servers = Some(servers);
        }
        Ok(())
    }

    /// Tells parameter servers that this rank needs them no more, unless training may go on.
    fn leave(&self) -> Result<(), TrainError> {
        match &self.servers {
            Some(servers) if self.progress.history.ended != Ended::Stopped => {
                Ok(servers.done(&self.ranks)?)
            }
            _ => Ok(()),
        }
    }

    /// The rest of an epoch; false if it was stopped.
    fn epoch(
        &mut self,
        data: &DataLoader,
        pace: &mut Pace,
        watcher: &mut dyn Watcher,
    ) -> Result<bool, TrainError> {
        let (epoch, first) = (self.progress.epoch, self.progress.batch);
        let (batches, before) = (data.len(), self.progress.seconds);
        let resumed = Instant::now();
        // A rank that took over in the middle of an epoch knows only the losses since.
        let (mut known, mut total) = match self.progress.loss.is_nan() {
            true => (0, 0.0),
            false => (first, self.progress.loss),
        };
        for batch in data.epoch(epoch, first) {
            if (self.stop)() || host::interrupted() {
                return Ok(false);
            }
            let at = self.progress.batch;
            let step = |source| TrainError::Step {
                epoch,
                batch: at,
                source,
            };
            let (inputs, targets) = batch.map_err(step)?;
            let loss = self.step(&inputs, &targets)?;
            (known, total) = (known + 1, total + loss);
            pace.items += inputs.dims().first().copied().unwrap_or(1);
            self.progress.batch += 1;
            self.progress.steps += 1;
            self.progress.loss = total;
            self.progress.seconds = before + resumed.elapsed().as_secs_f64();
            watcher.step(&Step {
                epoch,
                epochs: self.epochs,
                batch: self.progress.batch,
                batches,
                loss: total / known as f64,
                elapsed: pace.begun.elapsed(),
                items: pace.items,
            });
        }
        let stop = self.stop.clone();
        let stopped = || stop() || host::interrupted();
        let Some(tested) = self.evaluate_unless(&stopped)? else {
            // The epoch is whole but for its test, which comes first when training goes on.
            return Ok(false);
        };
        let (test_loss, accuracy) = tested.unzip();
        self.progress.history.epochs.push(Epoch {
            loss: total / known.max(1) as f64,
            test_loss,
            accuracy: accuracy.flatten(),
            seconds: before + resumed.elapsed().as_secs_f64(),
        });
        self.progress.epoch += 1;
        (
            self.progress.batch,
            self.progress.loss,
            self.progress.seconds,
        ) = (0, 0.0, 0.0);
        Ok(true)
    }

    /// One step, or none at all: a forward pass that leads to no step must not move generators and running means.
    fn step(&mut self, inputs: &Tensor, targets: &Tensor) -> Result<f64, TrainError> {
        let before = Moved::of(&self.model)?;
        let stepped = catch_unwind(AssertUnwindSafe(|| self.try_step(inputs, targets)));
        if !matches!(stepped, Ok(Ok(_))) {
            before.restore(&self.model)?;
        }
        match stepped {
            Ok(stepped) => stepped,
            Err(payload) => resume_unwind(payload),
        }
    }

    /// The loss of this rank's batch.
    fn try_step(&mut self, inputs: &Tensor, targets: &Tensor) -> Result<f64, TrainError> {
        let (epoch, batch) = (self.progress.epoch, self.progress.batch);
        let failed = |source| TrainError::Step {
            epoch,
            batch,
            source,
        };
        let output = self.model.forward_t(inputs, true).map_err(failed)?;
        let loss = (self.loss)(&output, targets).map_err(failed)?;
        let value = scalar(&loss).map_err(failed)?;
        if !value.is_finite() {
            return Err(TrainError::NotFinite {
                loss: value,
                epoch,
                batch,
            });
        }
        let Some(optimizer) = &mut self.optimizer else {
            return Ok(value);
        };
        let gradients = match &self.servers {
            Some(_) => loss.backward().map_err(TrainError::Tensor),
            None => average::backward(
                &mut self.averaging,
                &loss,
                optimizer.parameters(),
                &mut self.ranks,
            ),
        };
        let mut gradients = gradients.map_err(|error| match error {
            TrainError::Tensor(source) => failed(source),
            other => other,
        })?;
        if let Some(norm) = self.clip {
            clip_grad_norm(&mut gradients, optimizer.parameters(), norm).map_err(failed)?;
        }
        let rate = optimizer.learning_rate();
        let rate_now = rate * self.schedule.factor(self.progress.steps);
        if let Some(servers) = &self.servers {
            servers.step(&self.ranks, &gradients, optimizer.parameters(), rate_now)?;
            return Ok(value);
        }
        optimizer.set_learning_rate(rate_now);
        let stepped = optimizer.step(&gradients);
        optimizer.set_learning_rate(rate);
        stepped.map_err(failed)?;
        Ok(value)
    }

    /// Refuses a test set whose loss and accuracy would be 0 / 0, before any work is done.
    pub(super) fn check_test(&self) -> Result<(), TrainError> {
        match &self.test {
            Some(test) if test.is_empty() => Err(TrainError::NoTest),
            _ => Ok(()),
        }
    }

    /// Loss and accuracy on the test set, on rank 0.
    pub(super) fn evaluate(&self) -> Result<Option<(f64, Option<f64>)>, TrainError> {
        Ok(self.evaluate_unless(&|| false)?.flatten())
    }

    /// The same, and nothing at all if `stopped` says so before a batch.
    #[allow(clippy::type_complexity)]
    fn evaluate_unless(
        &self,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Option<(f64, Option<f64>)>>, TrainError> {
        let Some(test) = self.test.as_ref().filter(|_| self.ranks.rank() == 0) else {
            return Ok(Some(None));
        };
        let (mut items, mut loss, mut right) = (0.0, 0.0, 0.0);
        let mut classes = true;
        for batch in test.clone().on(&self.device).epoch(0, 0) {
            if stopped() {
                return Ok(None);
            }
            let (inputs, targets) = batch?;
            let output = self.model.predict(&inputs)?;
            let size = targets.dims().first().copied().unwrap_or(1) as f64;
            loss += size * scalar(&(self.loss)(&output, &targets)?)?;
            classes &= targets.dtype().is_int() && targets.rank() == 1 && output.rank() == 2;
            if classes {
                right += size * accuracy(&output, &targets)?;
            }
            items += size;
        }
        Ok(Some(Some((loss / items, classes.then_some(right / items)))))
    }

    /// Whether to end early: rank 0 knows, and all do the same.
    fn is_stuck(&mut self) -> Result<bool, TrainError> {
        let Some(patience) = self.patience else {
            return Ok(false);
        };
        let stuck = u8::from(self.progress.history.is_stuck(patience.max(1)));
        Ok(self.ranks.broadcast(0, &[stuck])?.first() == Some(&1))
    }

    fn save(&mut self) -> Result<(), TrainError> {
        if let (0, Some(folder), Some(optimizer)) =
            (self.ranks.rank(), &self.checkpoints, &mut self.optimizer)
        {
            if let Some(servers) = &self.servers {
                optimizer.load_state(&servers.state(&self.ranks)?)?;
            }
            Checkpoint::of(&self.model, optimizer.as_ref(), &self.progress)?.save(folder)?;
        }
        Ok(())
    }
}

/// How much was done since training began, or went on.
struct Pace {
    begun: Instant,
    items: usize,
}

/// What a forward pass changes, in the order of the model's parts.
struct Moved {
    buffers: Vec<Tensor>,
    generators: Vec<Random>,
}

impl Moved {
    fn of(model: &dyn Layer) -> TensorResult<Self> {
        let (mut buffers, mut generators) = (Vec::new(), Vec::new());
        for (_, part) in model.named_parts() {
            match part {
                Part::Parameter(_) => {}
                Part::Buffer(var) => buffers.push(var.as_tensor().copy()?),
                Part::Random(random) => generators.push(lock(random).clone()),
            }
        }
        Ok(Self {
            buffers,
            generators,
        })
    }

    fn restore(self, model: &dyn Layer) -> TensorResult<()> {
        let (mut buffers, mut generators) = (self.buffers.iter(), self.generators.into_iter());
        for (_, part) in model.named_parts() {
            match part {
                Part::Parameter(_) => {}
                Part::Buffer(var) => buffers.next().map_or(Ok(()), |before| var.set(before))?,
                Part::Random(random) => {
                    let now = &mut *lock(random);
                    *now = generators.next().unwrap_or_else(|| now.clone());
                }
            }
        }
        Ok(())
    }
}

/// The checkpoint of rank 0, which alone has one.
fn share(ranks: &mut Ranks, own: Option<Checkpoint>) -> Result<Checkpoint, TrainError> {
    let files = own.map_or_else(|| Ok(Default::default()), |own| own.to_files());
    let files: [Vec<u8>; 3] = files.map_err(|source| CheckpointError::Write {
        path: "for the other ranks".into(),
        source,
    })?;
    let mut received = [const { Vec::new() }; 3];
    for (file, received) in files.iter().zip(&mut received) {
        *received = ranks.broadcast(0, file)?;
    }
    Checkpoint::from_files(&received).map_err(|reason| {
        let path = "from rank 0".into();
        CheckpointError::Damaged { path, reason }.into()
    })
}

fn scalar(loss: &Tensor) -> TensorResult<f64> {
    loss.to_dtype(DType::F64)?.to_scalar()
}
