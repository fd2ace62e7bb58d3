//! The newest model of each job: files of a folder, one for each job.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::fs::{self, File};
use tokio::sync::Mutex;

use crate::answer::Refusal;
use crate::options::Quotas;
use crate::reports::no_signature;
use crate::turns::Queue;
use crate::upload::{Handed, Limits, PATIENCE, Unfinished, Upload, failed, too_large};

const ENDING: &str = "safetensors";
const UNFINISHED: &str = "unfinished";
/// Models that are taken at a time, of one user and of all.
const OWN_AT_A_TIME: usize = 2;
const AT_A_TIME: usize = 16;
const MODEL: &str = "model";

pub struct Models {
    folder: PathBuf,
    limits: Limits,
    /// Some are taken at a time, and what there is is counted one after the other.
    taking: Queue,
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
            limits: Limits {
                one: quotas.model_bytes,
                of_user: quotas.user_models_bytes,
                all: quotas.models_bytes,
            },
            taking: Queue::new(OWN_AT_A_TIME, AT_A_TIME),
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
    pub async fn take(&self, id: &str, handed: Handed<'_>) -> Result<(), Refusal> {
        let Handed {
            body,
            mut verifier,
            signature,
            user,
            is_own,
            is_wanted,
        } = handed;
        is_wanted()?;
        let _place = self.taking.wait(user).await;
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let part = Unfinished(self.path(&format!("{id}.{number}"), UNFINISHED));
        let path = &part.0;
        let room = self.room(id, is_own).await;
        let upload = Upload {
            what: MODEL,
            room: room.map_err(|error| failed(path, MODEL, &error))?,
            patience: self.patience,
        };
        let length = upload
            .write(path, body, |part| verifier.update(part))
            .await?;
        if !verifier.fits(signature) {
            return Err(no_signature());
        }
        // In place of the one before, where there is still room for it.
        let _turn = self.counting.lock().await;
        is_wanted()?;
        let failed = |error| failed(path, MODEL, &error);
        let room = self.room(id, is_own).await.map_err(failed)?;
        if length > room {
            return Err(too_large(MODEL, room));
        }
        fs::rename(path, self.path(id, ENDING))
            .await
            .map_err(failed)
    }

    /// How large the model of a job may be beside those of the others.
    async fn room(&self, id: &str, is_own: impl Fn(&str) -> bool) -> io::Result<u64> {
        let mut others = Vec::new();
        for other in self.ids().await?.iter().filter(|other| *other != id) {
            // One that went meanwhile takes none.
            let there = fs::metadata(self.path(other, ENDING)).await;
            others.push((there.map_or(0, |there| there.len()), is_own(other)));
        }
        Ok(self.limits.room(others))
    }
}
