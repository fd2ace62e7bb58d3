//! Whether pods start in time, where there is a limit. It counts while a pod could start: not in a queue, and not while
//! what prepares it runs. Since when stands in the status, so that an operator that is killed goes on counting.

use std::collections::HashSet;
use std::time::Duration;

use carrel_jobs::job::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::outcome::{Outcome, START, fail};
use super::{Plan, Seen, restart, task};
use crate::seen::{Phase, Place, SeenPod, Stage};

/// A replica that does not start.
struct Waiting {
    place: Place,
    /// When its pod was made.
    made: Option<Timestamp>,
    why: String,
}

/// Fails a job with a pod that waited for too long; looks again when that may be.
pub(super) fn in_time(plan: &mut Plan, job: &Job, seen: &Seen, now: Timestamp) -> Outcome {
    let waiting = match job.start_deadline {
        Some(limit) => waiting(job, seen, plan.status.reason.as_deref()).zip(Some(limit)),
        None => None,
    };
    let Some((first, limit)) = waiting else {
        plan.status.waiting_since = None;
        return Outcome::GoesOn;
    };
    let since = plan.status.waiting_since.get_or_insert(Time(now)).0;
    // One that was made later, for another, has its own time.
    let begun = first.made.map_or(since, |made| made.max(since));
    let waited = Duration::try_from(now.duration_since(begun)).unwrap_or_default();
    let left = limit.saturating_sub(waited);
    if !left.is_zero() {
        plan.again(left);
        return Outcome::GoesOn;
    }
    let (task, seconds, why) = (task(first.place), limit.as_secs(), first.why);
    let why = format!("{task} did not start within {seconds} s: {why}");
    let (kind, namespace, name) = (job.kind, &job.namespace, &job.name);
    let message = format!("{kind} {namespace}/{name} has failed because {why}");
    plan.status.waiting_since = None;
    fail(plan, START, &message, now);
    plan.status.reason = Some(why);
    Outcome::Over
}

/// The one that has waited for the longest.
fn waiting(job: &Job, seen: &Seen, said: Option<&str>) -> Option<Waiting> {
    let of_pod = |pod: &SeenPod| {
        let (place, _) = restart::replica(job, pod)?;
        let is_queued = match pod.stage {
            Stage::Held | Stage::Begun => true,
            Stage::Unplaced => job.has_gang,
            Stage::Placed => false,
        };
        if pod.phase != Phase::Pending || pod.is_deleting || is_queued {
            return None;
        }
        let why = pod.reason.as_deref().unwrap_or(match pod.stage {
            Stage::Placed => "its containers are not made",
            Stage::Held | Stage::Unplaced | Stage::Begun => "it has no node",
        });
        Some(Waiting {
            place,
            made: pod.created,
            why: why.to_owned(),
        })
    };
    let pods = seen.pods.iter().filter_map(|pod| of_pod(pod));
    let first = pods.min_by_key(|one| (one.made, one.place));
    first.or_else(|| {
        // None is missing for long, unless it is refused; that is said.
        let missing = missing(job, seen).filter(|_| !job.has_gang || said.is_some());
        missing.map(|place| Waiting {
            place,
            made: None,
            why: said.unwrap_or("its pod is not made").to_owned(),
        })
    })
}

/// The first replica without a pod.
fn missing(job: &Job, seen: &Seen) -> Option<Place> {
    let pods: HashSet<_> = seen.pods.iter().filter_map(|pod| pod.place).collect();
    let mut places = job.replicas.iter().flat_map(|replica| {
        let role = replica.role;
        (0..replica.count).map(move |index| Place { role, index })
    });
    places.find(|place| !pods.contains(place))
}
