//! The newest model of each job: files of a folder, one for each job.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use carrel_report::Verifier;
use futures_util::{Stream, StreamExt as _};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use crate::answer::Refusal;
use crate::options::Quotas;
use crate::reports::no_signature;

const ENDING: &str = "safetensors";
const UNFINISHED: &str = "unfinished";
/// Models that are taken at a time.
const AT_A_TIME: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Models {
    folder: PathBuf,
    /// The largest one, and all together, in bytes.
    largest: u64,
    most: u64,
    /// Some are taken at a time, and what there is is counted one after the other.
    taking: Semaphore,
    counting: Mutex<()>,
    /// How long one of them may send nothing.
    pub patience: Duration,
    /// How many were begun, for the names of their files.
    taken: AtomicU64,
}

impl Models {
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path, quotas: &Quotas) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == UNFINISHED) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            largest: quotas.model_bytes,
            most: quotas.models_bytes,
            taking: Semaphore::new(AT_A_TIME),
            counting: Mutex::default(),
            patience: PATIENCE,
            taken: AtomicU64::default(),
        })
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}.{ending}"))
    }

    /// Forgets that of a job.
    pub async fn remove(&self, id: &str) {
        let path = self.path(id, ENDING);
        if let Err(error) = fs::remove_file(&path).await
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "{} could not be removed", path.display());
        }
    }

    /// Forgets those of jobs that are not there any more.
    pub async fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let folder = self.folder.display();
        let ids = match self.ids().await {
            Ok(ids) => ids,
            Err(error) => return tracing::warn!(%error, "{folder} could not be read"),
        };
        for id in ids.iter().filter(|id| !is_there(id)) {
            self.remove(id).await;
        }
    }

    /// The jobs that have one.
    async fn ids(&self) -> io::Result<Vec<String>> {
        let mut ids = Vec::new();
        let mut entries = fs::read_dir(&self.folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let path = entry.path();
            let is_model = path.extension().is_some_and(|ending| ending == ENDING);
            let id = path.file_stem().and_then(|id| id.to_str());
            ids.extend(id.filter(|_| is_model).map(str::to_owned));
        }
        Ok(ids)
    }

    /// That of a job.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn get(&self, id: &str) -> io::Result<File> {
        File::open(self.path(id, ENDING)).await
    }

    /// Takes a model in place of the one before, once it was read whole and is signed, if it is still wanted then.
    ///
    /// # Errors
    /// When it is not signed, too large, or cannot be written.
    pub async fn take(
        &self,
        id: &str,
        body: Body,
        mut verifier: Verifier,
        signature: &str,
        is_wanted: impl Fn() -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        is_wanted()?;
        // It is never closed.
        let _slot = self.taking.acquire().await;
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let path = self.path(&format!("{id}.{number}"), UNFINISHED);
        let room = self.room(id).await.map_err(|error| failed(&path, &error))?;
        let written = self.write(&path, body, room, &mut verifier).await;
        let taken = match written {
            Ok(length) if verifier.fits(signature) => self.put(id, &path, length, is_wanted).await,
            Ok(_) => Err(no_signature()),
            Err(refusal) => Err(refusal),
        };
        if taken.is_err() {
            // What is left of it goes at the next start.
            let _ = fs::remove_file(&path).await;
        }
        taken
    }

    /// In place of the one before, where there is still room for it.
    async fn put(
        &self,
        id: &str,
        path: &Path,
        length: u64,
        is_wanted: impl Fn() -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _turn = self.counting.lock().await;
        is_wanted()?;
        let failed = |error| failed(path, &error);
        let room = self.room(id).await.map_err(failed)?;
        if length > room {
            return Err(too_large(room));
        }
        fs::rename(path, self.path(id, ENDING))
            .await
            .map_err(failed)
    }

    /// How large the model of a job may be beside those of the others.
    async fn room(&self, id: &str) -> io::Result<u64> {
        let mut others = 0;
        for other in self.ids().await?.iter().filter(|other| *other != id) {
            // One that went meanwhile takes none.
            let there = fs::metadata(self.path(other, ENDING)).await;
            others += there.map_or(0, |there| there.len());
        }
        Ok(self.most.saturating_sub(others).min(self.largest))
    }

    async fn write(
        &self,
        path: &Path,
        body: Body,
        room: u64,
        verifier: &mut Verifier,
    ) -> Result<u64, Refusal> {
        let mut file = File::create(path)
            .await
            .map_err(|error| failed(path, &error))?;
        let mut parts = body.into_data_stream();
        let mut length = 0;
        while let Some(part) = self.next(&mut parts).await? {
            let part =
                part.map_err(|error| Refusal::bad(format!("the model broke off: {error}")))?;
            length += part.len() as u64;
            if length > room {
                return Err(too_large(room));
            }
            verifier.update(&part);
            file.write_all(&part)
                .await
                .map_err(|error| failed(path, &error))?;
        }
        let synced = file.sync_all().await;
        synced.map_err(|error| failed(path, &error))?;
        Ok(length)
    }

    /// The next part of a body that goes on: what stalls must not keep its turn from others.
    async fn next<T>(
        &self,
        parts: &mut (impl Stream<Item = T> + Unpin),
    ) -> Result<Option<T>, Refusal> {
        timeout(self.patience, parts.next()).await.map_err(|_| {
            let message = format!("nothing more of the model came for {:?}", self.patience);
            Refusal::new(StatusCode::REQUEST_TIMEOUT, message)
        })
    }
}

fn too_large(room: u64) -> Refusal {
    let message = format!("the model is larger than the {room} bytes that are left for it");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

fn failed(path: &Path, error: &io::Error) -> Refusal {
    tracing::error!(%error, "{} could not be written", path.display());
    Refusal::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "the model could not be kept",
    )
}
