//! What training came to, epoch by epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::exact;

/// One epoch as it went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The mean over this rank's batches.
    #[serde(with = "exact")]
    pub loss: f64,
    #[serde(with = "exact::option")]
    pub test_loss: Option<f64>,
    /// The share of the test set that is guessed right, where the targets are classes.
    #[serde(with = "exact::option")]
    pub accuracy: Option<f64>,
    pub seconds: f64,
}

/// How training ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    #[default]
    NotYet,
    /// All epochs were done.
    Done,
    /// The test loss did not get less.
    Early,
    /// By an interrupt or a signal.
    Stopped,
}

/// All epochs that were done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    pub epochs: Vec<Epoch>,
    pub ended: Ended,
}

impl History {
    /// The loss of the last epoch; infinite where none was done.
    pub fn loss(&self) -> f64 {
        self.epochs.last().map_or(f64::INFINITY, |epoch| epoch.loss)
    }

    /// The losses of all epochs.
    pub fn losses(&self) -> Vec<f64> {
        self.epochs.iter().map(|epoch| epoch.loss).collect()
    }

    /// Whether the test loss has not been less than before for `patience` epochs.
    pub(super) fn is_stuck(&self, patience: usize) -> bool {
        let losses: Vec<f64> = self
            .epochs
            .iter()
            .filter_map(|epoch| epoch.test_loss)
            .collect();
        let Some(before) = losses
            .len()
            .checked_sub(patience)
            .filter(|before| *before > 0)
        else {
            return false;
        };
        let least = |losses: &[f64]| losses.iter().copied().fold(f64::INFINITY, f64::min);
        least(&losses[before..]) >= least(&losses[..before])
    }
}

/// A table.
impl fmt::Display for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "epoch    loss    test  accuracy  seconds")?;
        let cell =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
        for (number, epoch) in self.epochs.iter().enumerate() {
            let (test, accuracy) = (cell(epoch.test_loss), cell(epoch.accuracy));
            write!(
                formatter,
                "\n{number:5}  {:.4}  {test:>6}  {accuracy:>8}  {:7.1}",
                epoch.loss, epoch.seconds
            )?;
        }
        match self.ended {
            Ended::NotYet | Ended::Done => Ok(()),
            Ended::Early => write!(formatter, "\nended early: the test loss did not get less"),
            Ended::Stopped => write!(formatter, "\nstopped"),
        }
    }
}
