//! Following a job from a cell: a line that overwrites itself, and one that stays for each epoch.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::{JobError, JobState, JobStatus, RankState, RankStatus, TrainJob};
use crate::trainer::{interrupted, unwind_if_interrupted};

/// How long a jobs service may be away, as while it is replaced.
const PATIENCE: Duration = Duration::from_secs(30);
const WIDTH: usize = 24;

impl TrainJob {
    /// Shows how the job goes on, until it ends. An interrupt ends the showing, not the job.
    ///
    /// # Errors
    /// When nothing can be shown, or a jobs service is away for half a minute.
    pub fn watch(&self) -> Result<JobStatus, JobError> {
        let mut length = 0;
        let mut shown = 0;
        let mut heard = Instant::now();
        loop {
            let status = match self.status() {
                Err(JobError::Unreachable { .. }) if heard.elapsed() < PATIENCE => {
                    thread::sleep(self.backend.pause());
                    // What the job does goes on.
                    unwind_if_interrupted();
                    continue;
                }
                status => status?,
            };
            heard = Instant::now();
            let mut text = String::new();
            let known = status
                .ranks
                .iter()
                .map(|rank| rank.losses.len())
                .min()
                .unwrap_or(0);
            for epoch in shown..known {
                let line = format!(
                    "epoch {epoch:2}  loss per rank {}",
                    losses(&status, |rank| rank.losses.get(epoch).copied())
                );
                text += &format!("\r{}\n", padded(&line, length));
                length = 0;
            }
            shown = known;
            let line = line(&status);
            text += &format!("\r{}", padded(&line, length));
            length = line.chars().count();
            let ended = status.state().is_final() || interrupted();
            if ended {
                text.push('\n');
            }
            // In one piece, lest other threads print into it.
            io::stderr()
                .write_all(text.as_bytes())
                .map_err(|source| JobError::Io {
                    path: "the cell's output".into(),
                    source,
                })?;
            if ended {
                unwind_if_interrupted();
                return Ok(status);
            }
            thread::sleep(self.backend.pause());
        }
    }
}

/// With blanks over what was there before.
fn padded(line: &str, length: usize) -> String {
    format!(
        "{line}{}",
        " ".repeat(length.saturating_sub(line.chars().count()))
    )
}

/// State, bar, epoch, losses and the time left.
fn line(status: &JobStatus) -> String {
    let Some(first) = status.ranks.first() else {
        return String::new();
    };
    let done = status
        .ranks
        .iter()
        .map(RankStatus::done)
        .fold(1.0, f64::min);
    let full = (done * WIDTH as f64) as usize;
    let bar = "█".repeat(full) + &" ".repeat(WIDTH - full);
    let mut line = format!(
        "{}: {:?} {:3.0}%|{bar}|",
        status.id,
        status.state(),
        done * 100.0
    );
    if let (JobState::Failed, Some(reason)) = (status.state(), status.reason()) {
        return format!("{line} {reason}");
    }
    if let (JobState::Starting, Some(message)) = (status.state(), &status.message) {
        return format!("{line} {message}");
    }
    if first.state == RankState::Running {
        line += &format!(" epoch {}/{}", first.epoch + 1, first.epochs);
        line += &format!(", loss {}", losses(status, |rank| rank.loss));
    }
    match first.seconds_left() {
        Some(left) if !status.state().is_final() => line + &format!(", {left:.0} s left"),
        _ => line,
    }
}

fn losses(status: &JobStatus, of: impl Fn(&RankStatus) -> Option<f64>) -> String {
    let texts = status
        .ranks
        .iter()
        .map(|rank| of(rank).map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}")));
    texts.collect::<Vec<_>>().join(" ")
}
