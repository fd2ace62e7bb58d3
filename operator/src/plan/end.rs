//! What becomes of a job that is over: its pods, its services, and after a time the job itself.

use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::job::Job;
use carrel_jobs::spec::CleanPodPolicy;
use carrel_jobs::status::ConditionType;
use k8s_openapi::jiff::Timestamp;

use super::outcome::{BACKOFF, DEADLINE, REFUSED, START};
use super::{Plan, Seen};
use crate::seen::{SeenPod, SeenService};

pub(super) fn clean_up(plan: &mut Plan, job: &Job, seen: &Seen, now: Timestamp) {
    let pods = seen.pods.iter().filter(|pod| !pod.is_deleting);
    let goes = |pod: &&Arc<SeenPod>| match job.clean {
        CleanPodPolicy::All => true,
        // Pending ones too: they would run when everybody else is gone.
        CleanPodPolicy::Running => !pod.phase.is_over(),
        CleanPodPolicy::None | CleanPodPolicy::Unset => ran_out(plan) && !pod.phase.is_over(),
    };
    let pods: Vec<_> = pods.filter(goes).cloned().collect();
    let services = seen.services.iter().filter(|service| !service.is_deleting);
    let goes = |service: &&Arc<SeenService>| match job.clean {
        CleanPodPolicy::All => true,
        // With the pod. Where that is over, its service stays as its log does.
        CleanPodPolicy::Running => !seen
            .pods
            .iter()
            .any(|pod| pod.place == service.place && pod.phase.is_over()),
        CleanPodPolicy::None | CleanPodPolicy::Unset => false,
    };
    plan.delete_services = services.filter(goes).cloned().collect();
    plan.delete_pods = pods;
    if plan.status.is(ConditionType::Succeeded) {
        for counts in plan.status.replica_statuses.values_mut() {
            counts.succeeded += std::mem::take(&mut counts.active);
        }
    }
    let kind = job.kind;
    // Once: the next time the end is no news.
    let is_new = !plan.notices.is_empty();
    if is_new && !(plan.delete_pods.is_empty() && plan.delete_services.is_empty()) {
        let note = format!("{kind} is terminated, deleting pods and services");
        plan.notice(false, format!("{kind}Terminated"), &note);
    }
    expire(plan, job.ttl_seconds, now);
}

/// Whether the job was ended, and did not end by itself: then nothing of it goes on, whatever the policy.
fn ran_out(plan: &Plan) -> bool {
    let failed = plan.status.condition(ConditionType::Failed);
    failed
        .is_some_and(|failed| [BACKOFF, DEADLINE, REFUSED, START].contains(&failed.reason.as_str()))
}

pub(super) fn expire(plan: &mut Plan, ttl_seconds: Option<i32>, now: Timestamp) {
    let (Some(seconds), Some(end)) = (ttl_seconds, &plan.status.completion_time) else {
        return;
    };
    let kept = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
    let since = Duration::try_from(now.duration_since(end.0)).unwrap_or_default();
    let left = kept.saturating_sub(since);
    if left.is_zero() {
        plan.delete_job = true;
    } else {
        plan.again(left);
    }
}
