//! All jobs, and the table of them that a cell shows.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use carrel_report::JobStatus;

use super::TrainJob;
use crate::rows::Rows;

const COLUMNS: [&str; 6] = ["job", "state", "ranks", "epoch", "loss", "started"];

/// Jobs, oldest first: a slice of them, shown as a table of how they stood when they were listed.
#[derive(Clone)]
pub struct JobList {
    jobs: Vec<TrainJob>,
    rows: Vec<[String; 6]>,
    unread: usize,
}

/// A job with how it stands, and when it was started.
pub(super) struct Entry {
    pub job: TrainJob,
    pub status: JobStatus,
    pub started: Option<SystemTime>,
}

impl FromIterator<Entry> for JobList {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        let entries = entries.into_iter();
        let (jobs, rows) = entries
            .map(|entry| (entry.job.clone(), row(&entry)))
            .unzip();
        let unread = 0;
        Self { jobs, rows, unread }
    }
}

impl Deref for JobList {
    type Target = [TrainJob];

    fn deref(&self) -> &[TrainJob] {
        &self.jobs
    }
}

impl IntoIterator for JobList {
    type Item = TrainJob;
    type IntoIter = std::vec::IntoIter<TrainJob>;

    fn into_iter(self) -> Self::IntoIter {
        self.jobs.into_iter()
    }
}

impl<'a> IntoIterator for &'a JobList {
    type Item = &'a TrainJob;
    type IntoIter = std::slice::Iter<'a, TrainJob>;

    fn into_iter(self) -> Self::IntoIter {
        self.jobs.iter()
    }
}

fn row(entry: &Entry) -> [String; 6] {
    let first = entry.status.ranks.first();
    let epoch = first.filter(|rank| rank.epochs > 0).map(|rank| {
        let done = rank.losses.len().min(rank.epochs);
        format!("{done}/{}", rank.epochs)
    });
    let loss = first.and_then(|rank| rank.loss.or_else(|| rank.losses.last().copied()));
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        entry.status.id.clone(),
        format!("{:?}", entry.status.state()),
        entry.status.ranks.len().to_string(),
        known(epoch),
        known(loss.map(|loss| format!("{loss:.4}"))),
        known(entry.started.map(ago)),
    ]
}

/// How long ago something was, in one unit.
fn ago(then: SystemTime) -> String {
    let seconds = then.elapsed().unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..172_800 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// A time in milliseconds since 1970.
pub(super) fn time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(milliseconds)
}

impl JobList {
    /// How many more there are that this version cannot read.
    pub(super) fn with_unread(self, unread: usize) -> Self {
        Self { unread, ..self }
    }

    fn note(&self) -> Option<String> {
        let note = || {
            format!(
                "and {} that this version of Carrel cannot read",
                self.unread
            )
        };
        (self.unread > 0).then(note)
    }

    fn table(&self) -> Rows<'_, 6> {
        Rows {
            columns: COLUMNS,
            rows: &self.rows,
        }
    }

    /// The table, for a cell.
    pub fn html(&self) -> String {
        let note = self.note().map(|note| format!("<p>{note}</p>"));
        self.table().html() + &note.unwrap_or_default()
    }
}

/// The same table as text.
impl fmt::Display for JobList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.table().text())?;
        match self.note() {
            Some(note) => write!(formatter, "\n{note}"),
            None => Ok(()),
        }
    }
}

/// A value is shown by it.
impl fmt::Debug for JobList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
