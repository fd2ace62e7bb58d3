//! A body on its way into a file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use carrel_report::Verifier;
use futures_util::{Stream, StreamExt as _};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::answer::Refusal;

/// How long a client may send nothing.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a rank hands over, before any of it is read.
pub struct Handed<'a> {
    pub body: Body,
    /// It is kept only where this fits, once it was read whole.
    pub verifier: Verifier,
    pub signature: &'a str,
    /// Whose job it is of, and whether another job is the same user's.
    pub user: &'a str,
    pub is_own: &'a (dyn Fn(&str) -> bool + Send + Sync),
    /// Asked again when it is there: its attempt may have ended meanwhile.
    pub is_wanted: &'a (dyn Fn() -> Result<(), Refusal> + Send + Sync),
}

/// How much room there is for files of one kind.
#[derive(Clone, Copy)]
pub struct Limits {
    /// For one of them, all those of one user, and all, in bytes.
    pub one: u64,
    pub of_user: u64,
    pub all: u64,
}

impl Limits {
    /// For a file beside others: the length of each, and whether it is the same user's.
    pub fn room(self, others: impl IntoIterator<Item = (u64, bool)>) -> u64 {
        let (mut all, mut own) = (0, 0);
        for (length, is_own) in others {
            all += length;
            own += if is_own { length } else { 0 };
        }
        let left = self.all.saturating_sub(all);
        left.min(self.of_user.saturating_sub(own)).min(self.one)
    }
}

/// What is read, and how much of it is taken.
pub struct Upload {
    /// For people: model, object.
    pub what: &'static str,
    /// In bytes.
    pub room: u64,
    pub patience: Duration,
}

impl Upload {
    /// Writes a body to `path`, shows `each` all of it, and gives its length.
    ///
    /// # Errors
    /// When it is too large, breaks off or stalls, or cannot be written; a part of it may be there then.
    pub async fn write(
        &self,
        path: &Path,
        body: Body,
        mut each: impl FnMut(&[u8]),
    ) -> Result<u64, Refusal> {
        let what = self.what;
        let failed = |error| failed(path, what, &error);
        let mut file = File::create(path).await.map_err(failed)?;
        let mut parts = body.into_data_stream();
        let mut length = 0;
        while let Some(part) = self.next(&mut parts).await? {
            let part =
                part.map_err(|error| Refusal::bad(format!("the {what} broke off: {error}")))?;
            length += part.len() as u64;
            if length > self.room {
                return Err(too_large(what, self.room));
            }
            each(&part);
            file.write_all(&part).await.map_err(failed)?;
        }
        // tokio's files tell of a write that failed at the next flush only; `sync_all` passes over it.
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        Ok(length)
    }

    /// The next part of a body that goes on: what stalls must not keep its turn from others.
    async fn next<T>(
        &self,
        parts: &mut (impl Stream<Item = T> + Unpin),
    ) -> Result<Option<T>, Refusal> {
        timeout(self.patience, parts.next()).await.map_err(|_| {
            let message = format!(
                "nothing more of the {} came for {:?}",
                self.what, self.patience
            );
            Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
        })
    }
}

/// A file that goes unless it was renamed, also where nobody waits for its end any more.
pub struct Unfinished(pub PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // One that was renamed is not there; what else stays goes at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn too_large(what: &str, room: u64) -> Refusal {
    let message = format!("the {what} is larger than the {room} bytes that are left for it");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

pub fn failed(path: &Path, what: &str, error: &io::Error) -> Refusal {
    tracing::error!(%error, "{} could not be written", path.display());
    let message = format!("the {what} could not be kept");
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, message)
}
