//! How the ranks of a job stand.

use std::fmt;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RankState {
    /// Reads data and waits for the others.
    #[default]
    Starting,
    Running,
    Succeeded,
    /// By a signal: a checkpoint was written.
    Stopped,
    Failed,
}

impl RankState {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Stopped | Self::Failed)
    }
}

/// What a rank says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RankStatus {
    pub state: RankState,
    pub epoch: usize,
    pub epochs: usize,
    pub batch: usize,
    pub batches: usize,
    /// The mean of this epoch so far.
    pub loss: Option<f64>,
    /// Of the epochs that were done.
    pub losses: Vec<f64>,
    pub accuracy: Option<f64>,
    /// Since this process began to train.
    pub seconds: f64,
    /// What this rank learns from, such as pictures.
    pub items_per_second: Option<f64>,
    /// How much of the job was done when this process began to train, from 0 to 1.
    pub begun_at: Option<f64>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl RankStatus {
    /// How much is done, from 0 to 1.
    pub fn done(&self) -> f64 {
        match (self.state, self.epochs, self.batches) {
            (RankState::Succeeded, ..) => 1.0,
            (_, 0, _) | (_, _, 0) => 0.0,
            (_, epochs, batches) => {
                let steps = self.epoch * batches + self.batch;
                (steps as f64 / (epochs * batches) as f64).min(1.0)
            }
        }
    }

    /// Seconds that are left, by the pace so far.
    pub fn seconds_left(&self) -> Option<f64> {
        let gained = self.done() - self.begun_at?;
        (gained > 0.0).then(|| self.seconds / gained * (1.0 - self.done()))
    }
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    Starting,
    Running,
    Succeeded,
    Stopped,
    Failed,
}

impl JobState {
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Stopped | Self::Failed)
    }
}

/// The ranks of a job as they stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    pub id: String,
    /// What a jobs service says beside, such as what the job waits for.
    #[serde(default)]
    pub message: Option<String>,
    pub ranks: Vec<RankStatus>,
}

impl JobStatus {
    /// Final only when all ranks have ended.
    pub fn state(&self) -> JobState {
        let all = |state| self.ranks.iter().all(|rank| rank.state == state);
        let any = |state| self.ranks.iter().any(|rank| rank.state == state);
        if !self.ranks.iter().all(|rank| rank.state.is_final()) {
            return match any(RankState::Running) {
                true => JobState::Running,
                false => JobState::Starting,
            };
        }
        match () {
            () if all(RankState::Succeeded) => JobState::Succeeded,
            // The others of a job that is cancelled may find a rank gone before their own signal.
            () if any(RankState::Stopped) => JobState::Stopped,
            () => JobState::Failed,
        }
    }

    /// Why it failed: the rank that names no other one knows best.
    pub fn reason(&self) -> Option<String> {
        let reasons = || {
            let ranks = self.ranks.iter().enumerate();
            ranks.filter_map(|(rank, status)| Some((rank, status.reason.as_ref()?)))
        };
        let own = reasons().find(|(_, reason)| !reason.contains("was lost"));
        own.or_else(|| reasons().next())
            .map(|(rank, reason)| format!("rank {rank}: {reason}"))
    }
}

/// A line on the job, then the losses of its epochs.
impl fmt::Display for JobStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {:?}", self.id, self.state())?;
        for more in self.message.iter().chain(&self.reason()) {
            write!(formatter, ", {more}")?;
        }
        let Some(first) = self.ranks.first() else {
            return Ok(());
        };
        for epoch in 0..first.losses.len() {
            let losses = self.ranks.iter().filter_map(|rank| rank.losses.get(epoch));
            let losses: Vec<String> = losses.map(|loss| format!("{loss:.4}")).collect();
            write!(
                formatter,
                "\nepoch {epoch:2}  loss per rank {}",
                losses.join(" ")
            )?;
        }
        match first.accuracy {
            Some(accuracy) => write!(formatter, "\ntest accuracy {accuracy:.4}"),
            None => Ok(()),
        }
    }
}
