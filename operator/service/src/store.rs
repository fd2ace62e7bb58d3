//! The newest model of each job: files of a folder, one for each job.

use std::io;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::StatusCode;
use carrel_report::Verifier;
use futures_util::StreamExt as _;
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Mutex;

use crate::answer::Refusal;
use crate::options::Quotas;
use crate::reports::no_signature;

const ENDING: &str = "safetensors";
const UNFINISHED: &str = "unfinished";

pub struct Models {
    folder: PathBuf,
    /// The largest one, and all together, in bytes.
    largest: u64,
    most: u64,
    /// One is taken at a time, so that what there is can be counted.
    taking: Mutex<()>,
}

impl Models {
    /// # Errors
    /// When the folder cannot be made.
    pub fn open(folder: &Path, quotas: &Quotas) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            largest: quotas.model_bytes,
            most: quotas.models_bytes,
            taking: Mutex::default(),
        })
    }

    fn path(&self, id: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{id}.{ending}"))
    }

    /// Forgets that of a job.
    pub async fn remove(&self, id: &str) {
        for ending in [ENDING, UNFINISHED] {
            let path = self.path(id, ending);
            if let Err(error) = fs::remove_file(&path).await
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "{} could not be removed", path.display());
            }
        }
    }

    /// That of a job.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub async fn get(&self, id: &str) -> io::Result<File> {
        File::open(self.path(id, ENDING)).await
    }

    /// Takes a model in place of the one before, once it was read whole and is signed.
    ///
    /// # Errors
    /// When it is not signed, too large, or cannot be written.
    pub async fn take(
        &self,
        id: &str,
        body: Body,
        mut verifier: Verifier,
        signature: &str,
    ) -> Result<(), Refusal> {
        let _turn = self.taking.lock().await;
        let path = self.path(id, UNFINISHED);
        let room = self.room(id).await.map_err(|error| failed(&path, &error))?;
        let written = self.write(&path, body, room, &mut verifier).await;
        let taken = match written {
            Ok(()) if verifier.fits(signature) => fs::rename(&path, self.path(id, ENDING))
                .await
                .map_err(|error| failed(&path, &error)),
            Ok(()) => Err(no_signature()),
            Err(refusal) => Err(refusal),
        };
        if taken.is_err() {
            // What is left of it is overwritten by the next.
            let _ = fs::remove_file(&path).await;
        }
        taken
    }

    /// How large the model of a job may be beside those of the others.
    async fn room(&self, id: &str) -> io::Result<u64> {
        let own = self.path(id, ENDING);
        let mut others = 0;
        let mut entries = fs::read_dir(&self.folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.path() != own {
                others += entry.metadata().await?.len();
            }
        }
        Ok(self.most.saturating_sub(others).min(self.largest))
    }

    async fn write(
        &self,
        path: &Path,
        body: Body,
        room: u64,
        verifier: &mut Verifier,
    ) -> Result<(), Refusal> {
        let mut file = File::create(path)
            .await
            .map_err(|error| failed(path, &error))?;
        let mut parts = body.into_data_stream();
        let mut length = 0;
        while let Some(part) = parts.next().await {
            let part =
                part.map_err(|error| Refusal::bad(format!("the model broke off: {error}")))?;
            length += part.len() as u64;
            if length > room {
                let message =
                    format!("the model is larger than the {room} bytes that are left for it");
                return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
            }
            verifier.update(&part);
            file.write_all(&part)
                .await
                .map_err(|error| failed(path, &error))?;
        }
        file.sync_all().await.map_err(|error| failed(path, &error))
    }
}

fn failed(path: &Path, error: &io::Error) -> Refusal {
    tracing::error!(%error, "{} could not be written", path.display());
    Refusal::new(
        StatusCode::INSUFFICIENT_STORAGE,
        "the model could not be kept",
    )
}
