//! What this process did a moment ago and its watches have not told of yet. Without it a pod would be made twice, and a
//! job that is over be taken for one that goes on.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// After this time a watch that tells nothing is right: somebody else undid what was done.
const LIMIT: Duration = Duration::from_secs(10);
/// The most jobs that are known to have no group; those of more are looked for again.
const MOST: usize = 10_000;

#[derive(Debug)]
pub struct Memory {
    limit: Duration,
    jobs: Mutex<HashMap<String, OfJob>>,
    /// Jobs that want no place and have no PodGroup any more.
    without_group: Mutex<HashSet<String>>,
}

#[derive(Debug, Default)]
struct OfJob {
    /// The version that the job got by the last change of its status.
    version: Option<(String, Instant)>,
    /// By kind and name: the identities of objects that were made.
    made: HashMap<(&'static str, String), (String, Instant)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            limit: LIMIT,
            jobs: Mutex::default(),
            without_group: Mutex::default(),
        }
    }
}

impl Memory {
    /// The status of a job was changed, which made it this version.
    pub fn patched(&self, job: &str, version: String) {
        self.sweep();
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
            let is_stale = !reached && since.elapsed() < self.limit;
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
                *of_kind != kind || (!seen(uid) && since.elapsed() < self.limit)
            });
            let unseen = of_job.made.keys().filter(|(of_kind, _)| *of_kind == kind);
            unseen.map(|(_, name)| name.clone()).collect()
        })
    }

    /// Whether nothing is left of the group of a job that wants no place.
    pub fn has_no_group(&self, job: &str) -> bool {
        self.groups(|known| known.contains(job))
    }

    pub fn group_is_gone(&self, job: String) {
        self.groups(|known| {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(job);
        });
    }

    /// The job may have a group from now on.
    pub fn wants_place(&self, job: &str) {
        self.groups(|known| known.remove(job));
    }

    fn groups<T>(&self, what: impl FnOnce(&mut HashSet<String>) -> T) -> T {
        let known = self.without_group.lock();
        what(&mut known.unwrap_or_else(PoisonError::into_inner))
    }

    pub fn forget(&self, job: &str) {
        self.wants_place(job);
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.remove(job);
    }

    /// Forgets jobs that nobody has asked about in time: they are gone.
    fn sweep(&self) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.limit;
        jobs.retain(|_, of_job| {
            let made = of_job.made.values().map(|(_, since)| since);
            let mut all = made.chain(of_job.version.iter().map(|(_, since)| since));
            all.any(|since| since.elapsed() < limit)
        });
    }

    fn with<T>(&self, job: &str, what: impl FnOnce(&mut OfJob) -> T) -> T {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let of_job = jobs.entry(job.to_owned()).or_default();
        let done = what(of_job);
        if of_job.version.is_none() && of_job.made.is_empty() {
            jobs.remove(job);
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_patience() -> Memory {
        Memory {
            limit: Duration::ZERO,
            ..Memory::default()
        }
    }

    #[test]
    fn a_job_is_stale_until_the_watch_has_caught_up_but_not_for_ever() {
        let memory = Memory::default();
        assert!(!memory.is_stale("job", "7"));
        memory.patched("job", "9".to_owned());
        assert!(memory.is_stale("job", "8"));
        // Longer is later, whatever the first digit.
        assert!(!memory.is_stale("job", "10"));
        assert!(!memory.is_stale("job", "8"), "it is forgotten by then");
        let memory = without_patience();
        memory.patched("job", "9".to_owned());
        assert!(!memory.is_stale("job", "8"));
        assert!(memory.jobs.lock().unwrap().is_empty());
    }

    #[test]
    fn jobs_that_are_gone_are_forgotten() {
        let memory = without_patience();
        memory.made("gone", "pod", "a", "1".to_owned());
        memory.patched("job", "9".to_owned());
        assert_eq!(memory.jobs.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_was_made_counts_until_it_is_seen_but_not_for_ever() {
        let make = |memory: &Memory| {
            memory.made("job", "pod", "a", "1".to_owned());
            memory.made("job", "pod", "b", "2".to_owned());
            memory.made("job", "service", "a", "3".to_owned());
        };
        let memory = Memory::default();
        make(&memory);
        let mut unseen = memory.unseen("job", "pod", |_| false);
        unseen.sort();
        assert_eq!(unseen, ["a", "b"]);
        assert_eq!(memory.unseen("job", "pod", |uid| uid == "1"), ["b"]);
        assert_eq!(memory.unseen("job", "service", |_| false), ["a"]);
        let memory = without_patience();
        make(&memory);
        assert_eq!(memory.unseen("job", "pod", |_| false), [""; 0]);
    }
}
