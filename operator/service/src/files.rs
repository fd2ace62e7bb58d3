//! What functions need and give back: objects of each user, by their digests, and results of each rank.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use axum::body::Body;
use axum::http::StatusCode;
use carrel_report::ObjectFile;
use sha2::{Digest as _, Sha256};
use tokio::fs::{self, File};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::answer::Refusal;
use crate::options::Quotas;
use crate::reports::no_signature;
use crate::upload::{Handed, Limits, PATIENCE, Unfinished, Upload, failed, too_large};

const OBJECT: &str = "object";
const RESULT: &str = "result";
/// Of one rank, in bytes.
const LARGEST_RESULT: u64 = 16 << 20;
const UNFINISHED: &str = "unfinished";

/// Below the folder of models: `objects/USER/DIGEST` and `results/JOB.ATTEMPT.RANK`.
pub struct Files {
    objects: PathBuf,
    results: PathBuf,
    /// Objects of one user, in bytes.
    most: u64,
    of_results: Limits,
    /// Of each user who has handed something over: one object at a time, so that nobody waits for somebody else's.
    turns: std::sync::Mutex<HashMap<String, Arc<Mutex<()>>>>,
    making_room: Mutex<()>,
    /// How many were begun, for the names of their files.
    taken: AtomicU64,
}

/// The result of a rank.
#[derive(Clone, Copy)]
pub struct Of<'a> {
    pub job: &'a str,
    pub attempt: u64,
    pub rank: usize,
}

/// A file of a folder: when it was last used, its name, its length in bytes.
type Entry = (SystemTime, String, u64);

impl Files {
    /// # Errors
    /// When the folders cannot be made.
    pub fn open(folder: &Path, quotas: &Quotas) -> io::Result<Self> {
        let (objects, results) = (folder.join("objects"), folder.join("results"));
        std::fs::create_dir_all(&objects)?;
        std::fs::create_dir_all(&results)?;
        remove_unfinished(&results)?;
        for user in std::fs::read_dir(&objects)? {
            remove_unfinished(&user?.path())?;
        }
        Ok(Self {
            objects,
            results,
            most: quotas.object_bytes,
            of_results: Limits {
                one: LARGEST_RESULT,
                of_user: quotas.user_models_bytes,
                all: quotas.models_bytes,
            },
            turns: std::sync::Mutex::default(),
            making_room: Mutex::default(),
            taken: AtomicU64::default(),
        })
    }

    /// Names of users are no names of files.
    fn folder(&self, user: &str) -> PathBuf {
        self.objects.join(&hex::encode(Sha256::digest(user))[..32])
    }

    /// The name of a file that is being written.
    fn part(&self, folder: &Path) -> Unfinished {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        Unfinished(folder.join(format!("{number}.{UNFINISHED}")))
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

    /// Takes an object of a user. Those that are not `used` go for it, the oldest first.
    ///
    /// # Errors
    /// When it is another one than its digest says, too large, or cannot be written.
    pub async fn take(
        &self,
        user: &str,
        digest: &str,
        body: Body,
        used: &HashSet<String>,
    ) -> Result<(), Refusal> {
        let _turn = self.turn(user).await;
        let folder = self.folder(user);
        let cannot = |error: io::Error| failed(&folder, OBJECT, &error);
        fs::create_dir_all(&folder).await.map_err(cannot)?;
        let others = entries(&folder).await.map_err(cannot)?;
        let stays = |name: &str| used.contains(name) || name.ends_with(UNFINISHED);
        let staying = others.iter().filter(|(_, name, _)| stays(name));
        let staying: u64 = staying.map(|(.., length)| length).sum();
        let upload = Upload {
            what: OBJECT,
            room: self.most.saturating_sub(staying),
            patience: PATIENCE,
        };
        let part = self.part(&folder);
        let mut hash = Sha256::new();
        let written = upload.write(&part.0, body, |part| hash.update(part)).await;
        let length = written.map_err(|refusal| no_room(refusal, staying, self.most))?;
        if hex::encode(hash.finalize()) != digest {
            return Err(Refusal::bad(format!(
                "the object's SHA-256 is not {digest}"
            )));
        }
        self.make_room(&folder, digest, length, stays).await?;
        fs::rename(&part.0, folder.join(digest))
            .await
            .map_err(cannot)
    }

    async fn turn(&self, user: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(user.to_owned()).or_default())
        };
        turn.lock_owned().await
    }

    async fn make_room(
        &self,
        folder: &Path,
        digest: &str,
        length: u64,
        stays: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let cannot = |error: io::Error| failed(folder, OBJECT, &error);
        let mut others = entries(folder).await.map_err(cannot)?;
        // That of this object is among those that are not finished.
        others.retain(|(_, name, _)| name != digest && !name.ends_with(UNFINISHED));
        others.sort();
        let mut all = length + others.iter().map(|(.., length)| length).sum::<u64>();
        for (_, name, length) in others.iter().filter(|(_, name, _)| !stays(name)) {
            if all <= self.most {
                break;
            }
            fs::remove_file(folder.join(name)).await.map_err(cannot)?;
            all -= length;
        }
        match all <= self.most {
            true => Ok(()),
            false => Err(no_room(too_large(OBJECT, 0), all - length, self.most)),
        }
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

    fn result_path(&self, of: Of<'_>) -> PathBuf {
        let Of { job, attempt, rank } = of;
        self.results.join(format!("{job}.{attempt}.{rank}"))
    }

    /// What a rank gave back.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be read.
    pub async fn result(&self, of: Of<'_>) -> io::Result<File> {
        File::open(self.result_path(of)).await
    }

    /// Takes the result of a rank, once it was read whole and is signed, if it is still wanted then.
    ///
    /// # Errors
    /// When it is not signed, there is no room for it, or it cannot be written.
    pub async fn put_result(&self, of: Of<'_>, handed: Handed<'_>) -> Result<(), Refusal> {
        let path = self.result_path(of);
        let cannot = |error: io::Error| failed(&path, RESULT, &error);
        let mut verifier = handed.verifier;
        let upload = Upload {
            what: RESULT,
            room: self
                .result_room(&path, handed.is_own)
                .await
                .map_err(cannot)?,
            patience: PATIENCE,
        };
        let part = self.part(&self.results);
        let written = upload.write(&part.0, handed.body, |part| verifier.update(part));
        let length = written.await?;
        if !verifier.fits(handed.signature) {
            return Err(no_signature());
        }
        let _turn = self.making_room.lock().await;
        (handed.is_wanted)()?;
        let room = self
            .result_room(&path, handed.is_own)
            .await
            .map_err(cannot)?;
        if length > room {
            return Err(too_large(RESULT, room));
        }
        fs::rename(&part.0, &path).await.map_err(cannot)
    }

    /// How large a result may be beside the others.
    async fn result_room(&self, path: &Path, is_own: impl Fn(&str) -> bool) -> io::Result<u64> {
        let others = entries(&self.results).await?;
        let others = others.iter().filter(|(_, name, _)| {
            let is_same = path.file_name().is_some_and(|own| own == name.as_str());
            !is_same && !name.ends_with(UNFINISHED)
        });
        let lengths = others.map(|(_, name, length)| (*length, is_own(job_of(name))));
        Ok(self.of_results.room(lengths))
    }

    /// Forgets the results of jobs that are not there any more.
    pub async fn keep(&self, is_there: impl Fn(&str) -> bool) {
        let removed = async {
            for (_, name, _) in entries(&self.results).await? {
                if !is_there(job_of(&name)) && !name.ends_with(UNFINISHED) {
                    // Somebody else may be faster.
                    let _ = fs::remove_file(self.results.join(&name)).await;
                }
            }
            io::Result::Ok(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "{} could not be read", self.results.display());
        }
    }
}

/// The job whose result a file is.
fn job_of(name: &str) -> &str {
    name.split_once('.').map_or(name, |(id, _)| id)
}

/// Says what takes the room, where there is too little of it.
fn no_room(refusal: Refusal, staying: u64, most: u64) -> Refusal {
    match refusal.status {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
            refusal.status,
            format!(
                "the compiled cells of your jobs take {staying} bytes, and with this object they would take more than \
                 {most}: delete jobs that have ended"
            ),
        ),
        _ => refusal,
    }
}

fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == UNFINISHED) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

async fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut entries = fs::read_dir(folder).await?;
    while let Some(entry) = entries.next_entry().await? {
        // One that went meanwhile takes no room.
        if let Ok(there) = entry.metadata().await {
            let used = there.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let name = entry.file_name().to_string_lossy().into_owned();
            found.push((used, name, there.len()));
        }
    }
    Ok(found)
}
