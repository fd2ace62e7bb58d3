//! The evaluator of a job: tests each checkpoint that another process writes.

use std::io;
use std::thread;
use std::time::Duration;

use super::{Checkpoint, CheckpointError, Ended, History, TrainError, Trainer, host};
use crate::nn::Layer;

/// Between two looks for a new checkpoint.
const PAUSE: Duration = Duration::from_millis(200);

impl<M: Layer> Trainer<M> {
    /// Tests the checkpoints in the trainer's folder as they appear, until that of the last epoch; `say` is told of
    /// each in a line.
    ///
    /// # Errors
    /// When a checkpoint is of another model or cannot be read, or the test fails.
    pub fn follow(&mut self, say: &mut dyn FnMut(&str)) -> Result<History, TrainError> {
        self.check_test()?;
        let mut tested = None;
        while !(self.stop)() && !host::interrupted() {
            if let Some(checkpoint) = self.newest()? {
                let progress = checkpoint.training.progress;
                if tested != Some(progress.steps) {
                    tested = Some(progress.steps);
                    self.model
                        .load_state(&checkpoint.model)
                        .map_err(CheckpointError::from)?;
                    let (loss, accuracy) = self.evaluate()?.unwrap_or_default();
                    let accuracy = accuracy.map(|share| format!(", accuracy {share}"));
                    say(&format!(
                        "Step {}, epoch {}: test loss {loss}{}",
                        progress.steps,
                        progress.epoch,
                        accuracy.unwrap_or_default()
                    ));
                }
                self.progress = progress;
                if self.progress.epoch >= self.epochs {
                    self.progress.history.ended = Ended::Done;
                    return Ok(self.progress.history.clone());
                }
            }
            thread::sleep(PAUSE);
        }
        self.progress.history.ended = Ended::Stopped;
        Ok(self.progress.history.clone())
    }

    /// None also where a checkpoint was removed while it was read: there is a newer one then.
    fn newest(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let Some(folder) = &self.checkpoints else {
            return Ok(None);
        };
        match Checkpoint::newest(folder) {
            Err(CheckpointError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            newest => newest,
        }
    }
}
