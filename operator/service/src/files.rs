//! What functions need and give back: objects of each user, by their digests, and results of each rank.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use carrel_report::ObjectFile;
use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File};
use tokio::sync::{Mutex, Semaphore};

use crate::answer::Refusal;
use crate::options::Quotas;
use crate::upload::{PATIENCE, Upload, failed, too_large};

const OBJECT: &str = "object";
const RESULT: &str = "result";
const UNFINISHED: &str = "unfinished";
/// Objects that are taken at a time.
const AT_A_TIME: usize = 4;

/// Below the folder of models: `objects/USER/DIGEST` and `results/JOB.RANK`.
pub struct Files {
    objects: PathBuf,
    results: PathBuf,
    /// Of one user, in bytes.
    most: u64,
    taking: Semaphore,
    making_room: Mutex<()>,
    /// How many were begun, for the names of their files.
    taken: AtomicU64,
}

impl Files {
    /// # Errors
    /// When the folders cannot be made.
    pub fn open(folder: &Path, quotas: &Quotas) -> io::Result<Self> {
        let (objects, results) = (folder.join("objects"), folder.join("results"));
        std::fs::create_dir_all(&objects)?;
        std::fs::create_dir_all(&results)?;
        Ok(Self {
            objects,
            results,
            most: quotas.object_bytes,
            taking: Semaphore::new(AT_A_TIME),
            making_room: Mutex::default(),
            taken: AtomicU64::default(),
        })
    }

    /// Names of users are no names of files.
    fn folder(&self, user: &str) -> PathBuf {
        self.objects.join(&hex::encode(Sha256::digest(user))[..32])
    }

    /// An object of a user. That it was looked for is noted, so that it stays when others go.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub async fn object(&self, user: &str, digest: &str) -> io::Result<File> {
        let file = File::open(self.folder(user).join(digest)).await?;
        let file = file.into_std().await;
        // On a volume where that cannot be noted, the order in which objects came counts.
        let _ = file.set_modified(SystemTime::now());
        Ok(File::from_std(file))
    }

    /// Takes an object of a user. Those that no job of theirs has go for it, the oldest first.
    ///
    /// # Errors
    /// When it is another one than its digest says, too large, or cannot be written.
    pub async fn take(
        &self,
        user: &str,
        digest: &str,
        body: Body,
        is_used: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        // It is never closed.
        let _slot = self.taking.acquire().await;
        let folder = self.folder(user);
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{digest}.{number}.{UNFINISHED}"));
        let made = fs::create_dir_all(&folder).await;
        made.map_err(|error| failed(&folder, OBJECT, &error))?;
        let upload = Upload {
            what: OBJECT,
            room: self.most,
            patience: PATIENCE,
        };
        let mut hash = Sha256::new();
        let written = upload.write(&path, body, |part| hash.update(part)).await;
        let taken = match written {
            Ok(length) if hex::encode(hash.finalize()) == digest => {
                self.keep_object(&folder, &path, digest, length, is_used)
                    .await
            }
            Ok(_) => Err(Refusal::bad(format!(
                "the object's SHA-256 is not {digest}"
            ))),
            Err(refusal) => Err(refusal),
        };
        if taken.is_err() {
            // What is left of it goes with the oldest.
            let _ = fs::remove_file(&path).await;
        }
        taken
    }

    async fn keep_object(
        &self,
        folder: &Path,
        path: &Path,
        digest: &str,
        length: u64,
        is_used: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let _turn = self.making_room.lock().await;
        let failed = |error: io::Error| failed(path, OBJECT, &error);
        let mut others = Vec::new();
        let mut entries = fs::read_dir(folder).await.map_err(failed)?;
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path() == path || name == digest {
                continue;
            }
            // One that went meanwhile takes none.
            if let Ok(there) = entry.metadata().await {
                let used = there.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                others.push((used, name, there.len()));
            }
        }
        others.sort();
        let mut all = length + others.iter().map(|(.., length)| length).sum::<u64>();
        let going = |name: &str| !is_used(name) && !name.ends_with(UNFINISHED);
        for (_, name, length) in others.iter().filter(|(_, name, _)| going(name)) {
            if all <= self.most {
                break;
            }
            fs::remove_file(folder.join(name)).await.map_err(failed)?;
            all -= length;
        }
        if all > self.most {
            return Err(too_large(OBJECT, self.most.saturating_sub(all - length)));
        }
        fs::rename(path, folder.join(digest)).await.map_err(failed)
    }

    /// The first of these that a user has not handed over.
    pub async fn missing<'a>(&self, user: &str, files: &'a [ObjectFile]) -> Option<&'a ObjectFile> {
        for file in files {
            if self.object(user, &file.sha256).await.is_err() {
                return Some(file);
            }
        }
        None
    }

    fn result_path(&self, id: &str, rank: usize) -> PathBuf {
        self.results.join(format!("{id}.{rank}"))
    }

    /// What a rank gave back.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be read.
    pub async fn result(&self, id: &str, rank: usize) -> io::Result<Vec<u8>> {
        fs::read(self.result_path(id, rank)).await
    }

    /// # Errors
    /// When it cannot be written.
    pub async fn put_result(&self, id: &str, rank: usize, result: &Bytes) -> Result<(), Refusal> {
        let path = self.result_path(id, rank);
        let failed = |error: io::Error| failed(&path, RESULT, &error);
        let new = self.results.join(format!("{id}.{rank}.{UNFINISHED}"));
        fs::write(&new, result).await.map_err(failed)?;
        fs::rename(&new, &path).await.map_err(failed)
    }

    /// Forgets the results of jobs that are not there any more.
    pub async fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let removed = async {
            let mut entries = fs::read_dir(&self.results).await?;
            while let Some(entry) = entries.next_entry().await? {
                let name = entry.file_name().to_string_lossy().into_owned();
                let id = name.split_once('.').map_or(name.as_str(), |(id, _)| id);
                if !is_there(id) {
                    fs::remove_file(entry.path()).await?;
                }
            }
            io::Result::Ok(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "Results in {} could not be removed", self.results.display());
        }
    }
}
