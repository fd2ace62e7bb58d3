//! JupyterHub's event log: starts and stops of servers as JSON lines, in the form of jupyter_events. A thread of its own
//! writes them, so that nobody waits for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::json;
use tracing::error;

use crate::config::{EventLogger, SERVER_ACTION};
use crate::db::now;
use crate::db::servers::Server;
use crate::log_limit::LogLimit;
use crate::time::iso;

/// How many events may wait to be written.
const MOST_WAITING: usize = 4096;
/// How long the end of the Hub waits for them.
const LONGEST_END: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("could not open the event log {0} (EventLogger.file)")]
pub struct OpenError(PathBuf, #[source] io::Error);

/// What the Hub has done to a server.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    Start,
    Stop,
}

/// Where events go; nowhere without `EventLogger.file`, nor after the end.
#[derive(Default)]
pub struct Events(Mutex<Option<Log>>);

/// The thread that writes, and how it is told what.
struct Log {
    lines: SyncSender<String>,
    thread: JoinHandle<()>,
}

/// What cannot be written is told once a minute.
static FAILURES: LogLimit = LogLimit::new(1, Duration::from_secs(60));

/// Whether the file can be written, before anything else begins.
pub fn check(config: &EventLogger) -> Result<(), OpenError> {
    match &config.file {
        Some(path) => open(&path.0)
            .map(drop)
            .map_err(|error| OpenError(path.0.clone(), error)),
        None => Ok(()),
    }
}

impl Events {
    pub fn new(config: &EventLogger) -> Self {
        let wanted = !config.allowed_schemas.is_empty();
        let Some(path) = config.file.as_ref().filter(|_| wanted) else {
            return Self::default();
        };
        let (lines, waiting) = sync_channel(MOST_WAITING);
        let path = path.0.clone();
        let begun = std::thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || write(&path, &waiting));
        match begun {
            Ok(thread) => Self(Mutex::new(Some(Log { lines, thread }))),
            Err(error) => {
                error!(%error, "No event is logged: could not start a thread");
                Self::default()
            }
        }
    }

    /// Never waits: where the disk does not keep up, the event is lost and that is told.
    pub fn server(&self, action: Action, server: &Server) {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Log { lines, .. }) = &*log else {
            return;
        };
        let action = match action {
            Action::Start => "start",
            Action::Stop => "stop",
        };
        let event = json!({
            "__timestamp__": iso(now()),
            "__schema__": SERVER_ACTION,
            "__schema_version__": "1",
            "__metadata_version__": 1,
            "action": action,
            "username": server.user,
            "servername": server.name,
        });
        if lines.try_send(format!("{event}\n")).is_err() {
            failed("too many wait to be written");
        }
    }

    /// Waits until all events are written, as long as that may take.
    pub async fn end(&self) {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Log { lines, thread }) = log else {
            return;
        };
        drop(lines);
        let written = tokio::task::spawn_blocking(move || thread.join());
        if tokio::time::timeout(LONGEST_END, written).await.is_err() {
            failed("the disk takes too long");
        }
    }
}

fn failed(why: &str) {
    if FAILURES.admit(Instant::now()).is_some() {
        error!(why, "Events are lost: {why} (EventLogger.file)");
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// Whether the path still leads to this file: what rotates logs moves it away.
fn is_at(file: &File, path: &Path) -> bool {
    let (open, there) = (file.metadata(), std::fs::metadata(path));
    match (open, there) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Appends each line by one write, so that several Hubs may share the file; begins it anew when it was moved away.
fn write(path: &Path, waiting: &Receiver<String>) {
    let mut file: Option<File> = None;
    for line in waiting {
        file = file.filter(|file| is_at(file, path));
        let written = match &mut file {
            Some(file) => file.write_all(line.as_bytes()),
            none => open(path).and_then(|opened| none.insert(opened).write_all(line.as_bytes())),
        };
        if let Err(error) = written {
            failed(&error.to_string());
            file = None;
        }
    }
}
