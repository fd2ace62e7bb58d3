//! What this process did a moment ago and its watches have not told of yet. Without it a pod would be made twice, and a
//! job that is over be taken for one that goes on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After this time a watch that tells nothing is right: somebody else undid what was done.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct Memory {
    jobs: Mutex<HashMap<String, OfJob>>,
}

#[derive(Debug, Default)]
struct OfJob {
    /// The version that the job got by the last change of its status.
    version: Option<(String, Instant)>,
    /// By kind and name: the identities of objects that were made.
    made: HashMap<(&'static str, String), (String, Instant)>,
}

impl Memory {
    /// The status of a job was changed, which made it this version.
    pub fn patched(&self, job: &str, version: String) {
        self.with(job, |of_job| {
            of_job.version = Some((version, Instant::now()))
        });
    }

    /// Whether `version` of a job is older than what this process made of it.
    pub fn is_stale(&self, job: &str, version: &str) -> bool {
        self.with(job, |of_job| {
            let Some((known, since)) = &of_job.version else {
                return false;
            };
            let number = |version: &str| version.parse::<u64>().ok();
            let reached = match (number(version), number(known)) {
                (Some(version), Some(known)) => version >= known,
                _ => version == known,
            };
            let is_stale = !reached && since.elapsed() < LIMIT;
            if !is_stale {
                of_job.version = None;
            }
            is_stale
        })
    }

    pub fn made(&self, job: &str, kind: &'static str, name: &str, uid: String) {
        self.with(job, |of_job| {
            let made = (uid, Instant::now());
            of_job.made.insert((kind, name.to_owned()), made);
        });
    }

    /// The objects of a kind that were made, less those that `seen` knows by their identity.
    pub fn unseen(
        &self,
        job: &str,
        kind: &'static str,
        seen: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        self.with(job, |of_job| {
            of_job.made.retain(|(of_kind, _), (uid, since)| {
                *of_kind != kind || (!seen(uid) && since.elapsed() < LIMIT)
            });
            let unseen = of_job.made.keys().filter(|(of_kind, _)| *of_kind == kind);
            unseen.map(|(_, name)| name.clone()).collect()
        })
    }

    pub fn forget(&self, job: &str) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.remove(job);
    }

    fn with<T>(&self, job: &str, what: impl FnOnce(&mut OfJob) -> T) -> T {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        what(jobs.entry(job.to_owned()).or_default())
    }
}
