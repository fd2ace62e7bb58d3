//! TrainJobs: their nodes know each other, so that when one goes all of them begin anew. Each pod says in which attempt it
//! was made, and the status which attempt it is: what is of an earlier one goes, however often the operator was killed.

use std::sync::Arc;

use carrel_jobs::job::Job;
use carrel_jobs::kind::Role;
use carrel_jobs::status::ConditionType;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::restart::{anew, pause_left};
use super::{Plan, Seen, task};
use crate::seen::{Phase, Place, SeenPod};

pub(super) enum Whole {
    /// Nothing is made before all pods that there are have gone.
    Ends,
    /// But for these, which fail the job.
    GoesOn(Vec<(Place, String)>),
}

pub(super) fn restart(plan: &mut Plan, job: &Job, seen: &Seen, now: Timestamp) -> Whole {
    let is_own = |pod: &&Arc<SeenPod>| pod.attempt == job.train.attempt;
    let (own, old): (Vec<_>, Vec<_>) = seen.pods.iter().partition(is_own);
    if !old.is_empty() {
        let going = old.into_iter().filter(|pod| !pod.is_deleting);
        plan.delete_pods = going.cloned().collect();
        return Whole::Ends;
    }
    if plan.status.is(ConditionType::Running)
        && let Some(place) = lost(job, &own)
    {
        let why = format!("{} was lost", task(place));
        begin(plan, job, &own, &why, now);
        return Whole::Ends;
    }
    let mut failed: Vec<_> = own.iter().copied().filter(failed).collect();
    // Who failed first is the cause; the others lost it.
    failed.sort_by_key(|pod| (pod.ended, pod.place));
    let Some(first) = failed.first().copied() else {
        return Whole::GoesOn(Vec::new());
    };
    let Some(place) = first.place else {
        return Whole::GoesOn(Vec::new());
    };
    // One that was evicted, or went down with its machine, did not fail by itself.
    let is_at_fault = first.exit_code.is_some();
    if is_at_fault && anew(plan) >= job.train.max_restarts {
        let failed = failed.iter().filter_map(|pod| Some((pod.place?, why(pod))));
        return Whole::GoesOn(failed.collect());
    }
    let left = pause_left(job.train.attempt.saturating_add(1), first, now);
    if !left.is_zero() {
        say(plan, job, &why(first), now);
        // Those that have lost it wait for it in vain, and hold what they have.
        plan.stop(own);
        plan.again(left);
        return Whole::Ends;
    }
    if is_at_fault {
        let restarts = plan.status.restarts.entry(task(place)).or_default();
        restarts.count += 1;
        restarts.last_pod.clone_from(&first.uid);
        restarts.reason = first.reason.clone().unwrap_or_default();
    }
    begin(plan, job, &own, &why(first), now);
    Whole::Ends
}

fn failed(pod: &&Arc<SeenPod>) -> bool {
    pod.phase == Phase::Failed && !pod.is_deleting && pod.place.is_some()
}

fn why(pod: &SeenPod) -> String {
    let what = pod.place.map(task).unwrap_or_default();
    format!(
        "{what} failed: {}",
        pod.reason.as_deref().unwrap_or_default()
    )
}

/// The first node of a job that ran on all whose pod is gone, or is about to go, before its end.
fn lost(job: &Job, own: &[&Arc<SeenPod>]) -> Option<Place> {
    let role = Role::Node;
    let count = job.replica(role).map_or(0, |replica| replica.count);
    let mut places = (0..count).map(|index| Place { role, index });
    places.find(|place| {
        let mut pods = own.iter().filter(|pod| pod.place == Some(*place));
        !pods.any(|pod| pod.phase == Phase::Succeeded || !pod.is_deleting)
    })
}

/// The next attempt: all pods are of an earlier one from now on.
fn begin(plan: &mut Plan, job: &Job, own: &[&Arc<SeenPod>], why: &str, now: Timestamp) {
    plan.status.train.attempt = job.train.attempt.saturating_add(1);
    let going = own.iter().filter(|pod| !pod.is_deleting);
    plan.delete_pods = going.map(|pod| Arc::clone(pod)).collect();
    let kind = job.kind;
    let note = format!("All nodes begin anew: {why}");
    plan.notice(true, format!("{kind}Restarting"), &note);
    say(plan, job, why, now);
}

fn say(plan: &mut Plan, job: &Job, why: &str, now: Timestamp) {
    let (kind, name) = (job.kind, format!("{}/{}", job.namespace, job.name));
    let message = format!("{kind} {name} is restarting because {why}");
    let reason = format!("{kind}Restarting");
    plan.status
        .set(ConditionType::Restarting, &reason, &message, &Time(now));
    plan.status.reason = Some(why.to_owned());
}
