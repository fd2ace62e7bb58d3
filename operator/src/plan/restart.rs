//! Pods that failed: those that are made anew, counted once each, and those that fail the job.

use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::job::{Job, Replica};
use carrel_jobs::kind::Version;
use carrel_jobs::spec::RestartPolicy;
use k8s_openapi::jiff::Timestamp;

use super::{Plan, Seen, task};
use crate::seen::{Phase, Place, SeenPod};

/// The pause before the second restart of a replica; it doubles with each, up to the longest. The first is at once.
const PAUSE: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// Has failed pods made anew where the restart policy says so; gives the others, and why they failed.
pub(super) fn restart(
    plan: &mut Plan,
    job: &Job,
    seen: &Seen,
    now: Timestamp,
) -> Vec<(Place, String)> {
    let mut failed = Vec::new();
    for pod in &seen.pods {
        if pod.phase != Phase::Failed || pod.is_deleting {
            continue;
        }
        let Some((place, replica)) = replica(job, pod) else {
            continue;
        };
        let task = task(place);
        let why = pod.reason.clone().unwrap_or_default();
        if !starts_again(job, replica, pod) {
            failed.push((place, format!("{task} failed: {why}")));
            continue;
        }
        let restarts = plan.status.restarts.entry(task).or_default();
        if restarts.last_pod != pod.uid {
            restarts.count += 1;
            restarts.last_pod.clone_from(&pod.uid);
            restarts.reason = why;
        }
        let left = pause_left(restarts.count, pod, now);
        if left.is_zero() {
            plan.delete_pods.push(Arc::clone(pod));
        } else {
            plan.again(left);
        }
    }
    failed.sort();
    failed
}

/// Restarts within the pods that there are, by the node.
pub(super) fn by_node(job: &Job, seen: &Seen) -> i32 {
    let counts = |pod: &&Arc<SeenPod>| {
        let policy = replica(job, pod).map(|(_, replica)| replica.restart);
        matches!(
            policy,
            Some(RestartPolicy::OnFailure | RestartPolicy::Always)
        )
    };
    let restarts = seen.pods.iter().filter(counts).map(|pod| pod.restarts);
    restarts.fold(0, i32::saturating_add)
}

/// How many pods were made anew.
pub(super) fn anew(plan: &Plan) -> i32 {
    let counts = plan.status.restarts.values().map(|one| one.count);
    counts.fold(0, i32::saturating_add)
}

/// Whether the pod that failed is made anew.
pub(super) fn starts_again(job: &Job, replica: &Replica, pod: &SeenPod) -> bool {
    match (replica.restart, pod.exit_code) {
        (RestartPolicy::Never, _) => false,
        (RestartPolicy::ExitCode, Some(code)) => is_retryable(job.origin, code),
        // The node starts containers again, but not a pod that it has evicted, or that went down with it.
        (RestartPolicy::ExitCode, None) | (RestartPolicy::OnFailure | RestartPolicy::Always, _) => {
            true
        }
    }
}

/// Exit codes after which a new try may do better: signals, in v1 all of them.
fn is_retryable(origin: Version, code: i32) -> bool {
    match origin {
        Version::V1 => code >= 128,
        _ => [130, 137, 138, 143].contains(&code),
    }
}

pub(super) fn replica<'a>(job: &'a Job, pod: &SeenPod) -> Option<(Place, &'a Replica)> {
    let place = pod.place?;
    let replica = job.replica(place.role)?;
    let is_own = place.index < replica.count && pod.attempt == job.train.attempt;
    is_own.then_some((place, replica))
}

pub(super) fn pause_left(count: i32, pod: &SeenPod, now: Timestamp) -> Duration {
    let (Some(ended), Ok(doublings)) = (pod.ended, u32::try_from(count - 2)) else {
        return Duration::ZERO;
    };
    let pause = PAUSE.saturating_mul(2_u32.saturating_pow(doublings.min(8)));
    let since = now.duration_since(ended);
    let since = Duration::try_from(since).unwrap_or_default();
    pause.min(LONGEST).saturating_sub(since)
}
