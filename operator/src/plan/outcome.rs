//! Whether a job runs, starts again, or is over.

use std::time::Duration;

use carrel_jobs::job::{Job, Replica};
use carrel_jobs::kind::{Kind, Role, Version};
use carrel_jobs::status::ConditionType;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Plan, Seen, restart, task};
use crate::seen::{Phase, Place};

/// Reasons after which pods end that the policy would leave running.
pub(super) const DEADLINE: &str = "DeadlineExceeded";
pub(super) const BACKOFF: &str = "BackoffLimitExceeded";
pub const REFUSED: &str = "FailedCreatePod";
pub(super) const START: &str = "StartDeadlineExceeded";

pub(super) enum Outcome {
    GoesOn,
    Over,
}

/// Sets the conditions; `failed` are the pods that failed for good.
pub(super) fn outcome(
    plan: &mut Plan,
    job: &Job,
    seen: &Seen,
    failed: &[(Place, String)],
    now: Timestamp,
) -> Outcome {
    let (kind, name) = (job.kind, format!("{}/{}", job.namespace, job.name));
    if has_succeeded(job, seen) {
        let message = format!("{kind} {name} successfully completed.");
        let reason = format!("{kind}Succeeded");
        plan.status
            .set(ConditionType::Succeeded, &reason, &message, &Time(now));
        plan.status.completion_time = Some(Time(now));
        plan.status.reason = None;
        plan.notice(false, reason, &message);
        return Outcome::Over;
    }
    if let Some((_, why)) = failed.iter().find(|(place, _)| decides(job, *place)) {
        let message = format!(
            "{kind} {name} has failed because {} replica(s) failed: {why}",
            failed.len()
        );
        fail(plan, &format!("{kind}Failed"), &message, now);
        plan.status.reason = Some(why.clone());
        return Outcome::Over;
    }
    if is_past_backoff(plan, job, seen) {
        let message =
            format!("{kind} {name} has failed because it has reached the specified backoff limit");
        fail(plan, BACKOFF, &message, now);
        return Outcome::Over;
    }
    let outcome = in_time(plan, job, now);
    if matches!(outcome, Outcome::GoesOn) {
        progress(plan, job, seen, now);
    }
    outcome
}

/// Whether the time of the job is over.
pub(super) fn in_time(plan: &mut Plan, job: &Job, now: Timestamp) -> Outcome {
    if !is_past_deadline(plan, job, now) {
        return Outcome::GoesOn;
    }
    let (kind, namespace, name) = (job.kind, &job.namespace, &job.name);
    let message = format!(
        "{kind} {namespace}/{name} has failed because it was active longer than specified deadline"
    );
    fail(plan, DEADLINE, &message, now);
    Outcome::Over
}

pub(super) fn fail(plan: &mut Plan, reason: &str, message: &str, now: Timestamp) {
    plan.status
        .set(ConditionType::Failed, reason, message, &Time(now));
    plan.status.completion_time = Some(Time(now));
    plan.status.reason = Some(message.to_owned());
    plan.notice(true, reason.to_owned(), message);
}

/// Running or Restarting, if either.
fn progress(plan: &mut Plan, job: &Job, seen: &Seen, now: Timestamp) {
    let (kind, name) = (job.kind, format!("{}/{}", job.namespace, job.name));
    let again = seen.pods.iter().find(|pod| {
        pod.phase == Phase::Failed
            && restart::replica(job, pod)
                .is_some_and(|(_, replica)| restart::starts_again(job, replica, pod))
    });
    if let Some(pod) = again {
        let reason = format!("{kind}Restarting");
        let what = pod.place.map(task).unwrap_or_default();
        let why = pod.reason.clone().unwrap_or_default();
        let message = format!("{kind} {name} is restarting because {what} failed: {why}");
        if !plan.status.is(ConditionType::Restarting) {
            plan.notice(true, reason.clone(), &message);
        }
        plan.status
            .set(ConditionType::Restarting, &reason, &message, &Time(now));
    } else if is_running(job, seen) {
        let reason = format!("{kind}Running");
        let message = format!("{kind} {name} is running.");
        if !plan.status.is(ConditionType::Running) {
            plan.notice(false, reason.clone(), &message);
        }
        plan.status
            .set(ConditionType::Running, &reason, &message, &Time(now));
    }
    let of_role = |replica: &Replica| {
        replica.count > 0 && count(job, seen, replica.role, Phase::Running) == replica.count
    };
    // The others started when they were first seen.
    if job.replicas.iter().any(of_role) {
        plan.status.start_time.get_or_insert(Time(now));
    }
}

/// Whether the failure of a replica is that of the job: in v1alpha1 only the master's is, and dynamic workers may go.
fn decides(job: &Job, place: Place) -> bool {
    let may_go = job.is_dynamic && place.role == Role::Worker;
    !may_go && (job.origin != Version::V1Alpha1 || place.role.leads())
}

/// The chief or master has; without one, the workers have, of elastic ones the first that ends; without those, everybody has.
fn has_succeeded(job: &Job, seen: &Seen) -> bool {
    if let Some(leader) = job.leader() {
        return count(job, seen, leader.role, Phase::Succeeded) >= 1;
    }
    let Some(workers) = job
        .replica(Role::Worker)
        .filter(|workers| workers.count > 0)
    else {
        let counted = job.replicas.iter().filter(|one| one.count > 0);
        let mut all = counted.map(|one| count(job, seen, one.role, Phase::Succeeded) >= one.count);
        // Who wants no replicas has all of them.
        return all.all(|all| all);
    };
    let succeeded = count(job, seen, Role::Worker, Phase::Succeeded);
    if job.torch.elastic.is_some() {
        return succeeded > 0;
    }
    if job.kind == Kind::PyTorchJob || job.all_workers {
        return succeeded >= workers.count;
    }
    let first = Some(Place {
        role: Role::Worker,
        index: 0,
    });
    let mut pods = seen.pods.iter();
    pods.any(|pod| pod.place == first && pod.phase == Phase::Succeeded)
}

fn is_running(job: &Job, seen: &Seen) -> bool {
    if job.kind == Kind::TrainJob {
        let of = |phase| count(job, seen, Role::Node, phase);
        return of(Phase::Running) + of(Phase::Succeeded) >= job.size();
    }
    let role = job.leader().map_or(Role::Worker, |leader| leader.role);
    if job.replica(role).is_some_and(|replica| replica.count > 0) {
        return count(job, seen, role, Phase::Running) > 0;
    }
    job.replicas
        .iter()
        .any(|replica| count(job, seen, replica.role, Phase::Running) > 0)
}

/// Pods that are one too many do not count.
fn count(job: &Job, seen: &Seen, role: Role, phase: Phase) -> usize {
    let pods = seen.pods.iter().filter(|pod| {
        let counts = !pod.is_deleting || phase == Phase::Succeeded;
        let is_of = |(place, _): (Place, _)| place.role == role;
        counts && pod.phase == phase && restart::replica(job, pod).is_some_and(is_of)
    });
    pods.count()
}

fn is_past_backoff(plan: &Plan, job: &Job, seen: &Seen) -> bool {
    let Some(limit) = job.backoff_limit else {
        return false;
    };
    let by_node = restart::by_node(job, seen);
    // The training operator's arithmetic: its own restarts may reach the limit, those by the node may not.
    restart::anew(plan) > limit || (by_node > 0 && by_node >= limit)
}

/// Looks again when the time is over, until then.
fn is_past_deadline(plan: &mut Plan, job: &Job, now: Timestamp) -> bool {
    let (Some(seconds), Some(start)) = (job.deadline_seconds, &plan.status.start_time) else {
        return false;
    };
    let allowed = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let active = Duration::try_from(now.duration_since(start.0)).unwrap_or_default();
    let left = allowed.saturating_sub(active);
    if !left.is_zero() {
        plan.again(left);
    }
    left.is_zero()
}
