//! How the ranks of a job stand: each writes a small file, which is replaced in one go.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carrel_report::{RankState, RankStatus};

use crate::files;
use crate::trainer::{Epoch, History, Step, Watcher};

/// Between two writes, unless an epoch ends.
const PAUSE: Duration = Duration::from_millis(200);

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
