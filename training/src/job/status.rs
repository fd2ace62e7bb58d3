//! How the ranks of a job stand: each writes a small file, which is replaced in one go.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::trainer::{Epoch, History, Step, Watcher};

/// Between two writes, unless an epoch ends.
const PAUSE: Duration = Duration::from_millis(200);

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

/// Writes a rank's status while it trains.
pub struct StatusFile {
    path: PathBuf,
    status: RankStatus,
    written: Option<Instant>,
}

impl StatusFile {
    /// Says that the rank starts.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        let mut file = Self {
            path,
            status: RankStatus::default(),
            written: None,
        };
        file.write()?;
        Ok(file)
    }

    fn write(&mut self) -> io::Result<()> {
        self.written = Some(Instant::now());
        replace_unsynced(&self.path, &serde_json::to_vec(&self.status)?)
    }

    /// A disk that is full for the status may have room for the model.
    fn try_write(&mut self) {
        if let Err(error) = self.write() {
            eprintln!("cannot write {}: {error}", self.path.display());
        }
    }
}

/// Says how a rank stands, beside what it said before.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn tell(path: &Path, state: RankState, reason: Option<String>) -> io::Result<()> {
    let status = RankStatus {
        state,
        reason,
        ..read(path)
    };
    replace_unsynced(path, &serde_json::to_vec(&status)?)
}

/// The status in a file; the default where there is none yet.
pub(super) fn read(path: &Path) -> RankStatus {
    let bytes = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

impl Watcher for StatusFile {
    fn step(&mut self, step: &Step) {
        self.status.step(step);
        if self
            .written
            .is_none_or(|written| written.elapsed() >= PAUSE)
        {
            self.try_write();
        }
    }

    fn epoch(&mut self, number: usize, epoch: &Epoch) {
        self.status.epoch(number, epoch);
        self.try_write();
    }

    fn end(&mut self, history: &History) {
        self.status.end(history);
        self.try_write();
    }
}

/// Keeps what it is told, without a state at the end: that is for who knows how the process ends.
impl Watcher for RankStatus {
    fn step(&mut self, step: &Step) {
        self.state = RankState::Running;
        (self.epoch, self.epochs) = (step.epoch, step.epochs);
        (self.batch, self.batches) = (step.batch, step.batches);
        self.loss = Some(step.loss);
        self.seconds = step.elapsed.as_secs_f64();
        self.items_per_second = Some(step.items_per_second());
        let done = self.done();
        self.begun_at.get_or_insert(done);
    }

    fn epoch(&mut self, _number: usize, epoch: &Epoch) {
        self.losses.push(epoch.loss);
        self.accuracy = epoch.accuracy;
    }

    fn end(&mut self, history: &History) {
        self.losses = history.losses();
        self.accuracy = history.epochs.last().and_then(|epoch| epoch.accuracy);
    }
}

/// Replaces a file in one go. What a job is, and what it gave back, outlives a crash of the machine.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    files::replace(path, |file| file.write_all(bytes))
}

/// How it stands need not.
fn replace_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    files::replace_unsynced(path, |file| file.write_all(bytes))
}
