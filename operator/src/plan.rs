//! What is to be done about a job: a function of the job, its status, its pods and services, and the time. It is asked
//! again after whatever happened, so that an operator that ended in the midst of it goes on.

mod end;
mod outcome;
mod restart;
mod start;
mod whole;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::job::{Invalid, Job};
use carrel_jobs::kind::{Kind, Version};
use carrel_jobs::names;
use carrel_jobs::status::{ConditionType, JobStatus, ReplicaStatus};
use carrel_jobs::trainjob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::objects;
use crate::seen::{Phase, Place, SeenPod, SeenService};
use outcome::Outcome;
pub use outcome::REFUSED;
use whole::Whole;

/// When to look again though no watch tells of anything.
const RESYNC: Duration = Duration::from_secs(60);
/// When to look again after something was made that no watch has told of.
const UNSURE: Duration = Duration::from_secs(15);
/// When to look again for a runtime that is not there.
const WAIT: Duration = Duration::from_secs(10);

/// What there is of a job.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub pods: Vec<Arc<SeenPod>>,
    pub services: Vec<Arc<SeenService>>,
}

impl Seen {
    /// Whether some of it was made a moment ago and not seen yet.
    fn is_guessed(&self) -> bool {
        let mut pods = self.pods.iter();
        let mut services = self.services.iter();
        pods.any(|pod| pod.uid.is_empty()) || services.any(|service| service.uid.is_empty())
    }
}

/// In the order in which it is done: the status first, so that what follows is never forgotten.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub status: JobStatus,
    pub delete_pods: Vec<Arc<SeenPod>>,
    pub delete_services: Vec<Arc<SeenService>>,
    pub create_services: Vec<Place>,
    pub create_pods: Vec<Place>,
    pub notices: Vec<Notice>,
    pub delete_job: bool,
    /// When to look again though nothing happens.
    pub again_in: Option<Duration>,
}

/// An event for who looks at the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub is_warning: bool,
    pub reason: String,
    pub note: String,
}

impl Plan {
    fn of(status: &JobStatus) -> Self {
        Self {
            status: status.clone(),
            ..Self::default()
        }
    }

    fn notice(&mut self, is_warning: bool, reason: String, note: &str) {
        let note = note.to_owned();
        self.notices.push(Notice {
            is_warning,
            reason,
            note,
        });
    }

    fn creates(&self) -> bool {
        !(self.create_pods.is_empty() && self.create_services.is_empty())
    }

    /// Ends those of the pods that go on; none of a role counts as active any more.
    fn stop<'a>(&mut self, pods: impl IntoIterator<Item = &'a Arc<SeenPod>>) {
        let going = pods.into_iter().filter(|pod| pod.goes_on());
        self.delete_pods = going.cloned().collect();
        for counts in self.status.replica_statuses.values_mut() {
            counts.active = 0;
        }
    }

    /// Looks again after that time, unless it is to look earlier.
    pub fn again(&mut self, after: Duration) {
        self.again_in = Some(self.again_in.map_or(after, |before| before.min(after)));
    }
}

/// What is to be done about `job`.
pub fn plan(job: &Job, status: &JobStatus, seen: &Seen, now: Timestamp) -> Plan {
    let mut plan = decide(job, status, seen, now);
    if !job.is_foreign && !plan.status.is_over() {
        // A watch may have missed something: the end of a pod that it had not told of yet, most likely.
        let is_unsure = plan.creates() || seen.is_guessed();
        plan.again(if is_unsure { UNSURE } else { RESYNC });
    }
    plan
}

fn decide(job: &Job, status: &JobStatus, seen: &Seen, now: Timestamp) -> Plan {
    let mut plan = Plan::of(status);
    if job.is_foreign {
        return plan;
    }
    if status.is_over() {
        end::clean_up(&mut plan, job, seen, now);
        return plan;
    }
    begin(&mut plan, job, now);
    // What a suspension takes away has gone before anything of the job comes again.
    let goes = |pod: &Arc<SeenPod>| pod.is_deleting || !pod.phase.is_over();
    let is_left = status.is(ConditionType::Suspended) && seen.pods.iter().any(goes);
    if job.suspend || is_left {
        suspend(&mut plan, job, seen, now);
        return plan;
    }
    resume(&mut plan, job, now);
    plan.status.replica_statuses = counts(job, seen);
    let whole = match job.kind {
        Kind::TrainJob => whole::restart(&mut plan, job, seen, now),
        _ => Whole::GoesOn(restart::restart(&mut plan, job, seen, now)),
    };
    let outcome = match &whole {
        Whole::GoesOn(failed) => outcome::outcome(&mut plan, job, seen, failed, now),
        Whole::Ends => outcome::in_time(&mut plan, job, now),
    };
    let outcome = match (outcome, &whole) {
        (Outcome::GoesOn, Whole::GoesOn(_)) => start::in_time(&mut plan, job, seen, now),
        (outcome, _) => {
            plan.status.waiting_since = None;
            outcome
        }
    };
    let failed = match (outcome, whole) {
        (Outcome::Over, _) => {
            // None of those is made anew any more.
            plan.delete_pods.clear();
            plan.status.restarts.clone_from(&status.restarts);
            plan.status.train.clone_from(&status.train);
            end::clean_up(&mut plan, job, seen, now);
            return plan;
        }
        (Outcome::GoesOn, Whole::Ends) => return plan,
        (Outcome::GoesOn, Whole::GoesOn(failed)) => failed,
    };
    // Why all nodes begin anew is said until they run.
    let is_anew = job.kind == Kind::TrainJob && plan.status.is(ConditionType::Restarting);
    let before = is_anew.then(|| status.reason.clone()).flatten();
    let failed = failed.into_iter().next().map(|(_, why)| why);
    plan.status.reason = waiting(job, seen).or(failed).or(before);
    scale(&mut plan, job, seen);
    if plan.creates() && status.reason.is_some() {
        // It may say why what is missing was refused. Taken back and said again it would be a change each time, and each
        // change a reason to look at once.
        plan.status.reason.clone_from(&status.reason);
    }
    plan
}

/// A job that is none.
#[derive(Clone, Copy, Debug)]
pub struct Wrong<'a> {
    pub kind: Kind,
    pub name: &'a str,
    pub why: &'a Invalid,
}

/// What is to be done about a job that is none: it is told so, and nothing of it goes on.
pub fn invalid(
    wrong: &Wrong<'_>,
    status: &JobStatus,
    seen: &Seen,
    ttl_seconds: Option<i32>,
    now: Timestamp,
) -> Plan {
    let Wrong { kind, name, why } = wrong;
    let mut plan = Plan::of(status);
    if !status.is_over() {
        let reason = format!("Invalid{kind}Spec");
        let message = format!("{kind} {name} is not valid: {why}");
        plan.status
            .set(ConditionType::Failed, &reason, &message, &Time(now));
        plan.status.completion_time = Some(Time(now));
        plan.status.reason = Some(why.to_string());
        plan.notice(true, reason, &message);
    }
    let going = seen.pods.iter().filter(|pod| pod.goes_on());
    plan.delete_pods = going.cloned().collect();
    end::expire(&mut plan, ttl_seconds, now);
    plan
}

/// What is to be done about a TrainJob whose runtime is not there: it waits, and says so.
pub fn waits(status: &JobStatus, why: &str) -> Plan {
    let mut plan = Plan::of(status);
    if status.reason.as_deref() != Some(why) {
        plan.notice(true, "TrainingRuntimeNotFound".to_owned(), why);
    }
    plan.status.state = Some(trainjob::status::WAITING.to_owned());
    plan.status.reason = Some(why.to_owned());
    plan.again(WAIT);
    plan
}

/// Ends a job that cannot go on, such as one whose pods the API server refuses.
pub fn fail(plan: &mut Plan, reason: &str, message: &str, now: Timestamp) {
    outcome::fail(plan, reason, message, now);
}

fn begin(plan: &mut Plan, job: &Job, now: Timestamp) {
    if plan.status.condition(ConditionType::Created).is_some() {
        return;
    }
    let (kind, name) = (job.kind, &job.name);
    let (reason, message) = (
        format!("{kind}Created"),
        format!("{kind} {name} is created."),
    );
    plan.status
        .set(ConditionType::Created, &reason, &message, &Time(now));
    plan.notice(false, reason, &message);
    for role in objects::overridden(job) {
        let note = format!(
            "Restart policy in pod template of {} will be overwritten by restart policy in replica spec",
            role.name()
        );
        plan.notice(true, "SettedPodTemplateRestartPolicy".to_owned(), &note);
    }
    for warning in &job.warnings {
        plan.notice(true, format!("{kind}Warning"), warning);
    }
}

/// No pods while a job is suspended; those that are over stay, for their logs.
fn suspend(plan: &mut Plan, job: &Job, seen: &Seen, now: Timestamp) {
    let (kind, name) = (job.kind, &job.name);
    let (reason, message) = (
        format!("{kind}Suspended"),
        format!("{kind} {name} is suspended."),
    );
    for ended in [ConditionType::Running, ConditionType::Restarting] {
        plan.status.unset(ended, &reason, &message, &Time(now));
    }
    if !plan.status.is(ConditionType::Suspended) {
        plan.status
            .set(ConditionType::Suspended, &reason, &message, &Time(now));
        plan.notice(false, reason, &message);
    }
    plan.status.start_time = None;
    plan.status.waiting_since = None;
    plan.status.reason = None;
    plan.status.replica_statuses = counts(job, seen);
    plan.stop(&seen.pods);
    let services = seen.services.iter().filter(|service| !service.is_deleting);
    plan.delete_services = services.cloned().collect();
}

fn resume(plan: &mut Plan, job: &Job, now: Timestamp) {
    if plan.status.is(ConditionType::Suspended) {
        let (kind, name) = (job.kind, &job.name);
        let (reason, message) = (
            format!("{kind}Resumed"),
            format!("{kind} {name} is resumed."),
        );
        plan.status
            .unset(ConditionType::Suspended, &reason, &message, &Time(now));
        plan.notice(false, reason, &message);
    }
    // v1alpha2 starts when all replicas of a type run.
    if plan.status.start_time.is_none() && job.origin != Version::V1Alpha2 {
        plan.status.start_time = Some(Time(now));
    }
}

/// Pods by what they do. One that was asked to end counts only if it had ended well.
fn counts(job: &Job, seen: &Seen) -> BTreeMap<String, ReplicaStatus> {
    let mut counts = BTreeMap::new();
    for replica in &job.replicas {
        let mut status = ReplicaStatus {
            selector: Some(names::role_selector(job, replica.role)),
            ..ReplicaStatus::default()
        };
        let own = |pod: &&Arc<SeenPod>| {
            let of = restart::replica(job, pod);
            of.is_some_and(|(place, _)| place.role == replica.role)
        };
        for pod in seen.pods.iter().filter(own) {
            match pod.phase {
                Phase::Succeeded => status.succeeded += 1,
                _ if pod.is_deleting => {}
                Phase::Running => status.active += 1,
                Phase::Failed => status.failed += 1,
                Phase::Pending => {}
            }
        }
        counts.insert(replica.role.name().to_owned(), status);
    }
    counts
}

/// What the first pod that cannot start waits for.
fn waiting(job: &Job, seen: &Seen) -> Option<String> {
    let mut waiting: Vec<_> = seen
        .pods
        .iter()
        .filter(|pod| pod.goes_on())
        .filter_map(|pod| Some((pod.place?, pod.reason.as_deref()?)))
        .filter(|(place, _)| job.replica(place.role).is_some())
        .collect();
    waiting.sort_unstable();
    let (place, why) = waiting.first()?;
    Some(format!("{} waits: {why}", task(*place)))
}

/// Makes what is missing, and ends what is too many.
fn scale(plan: &mut Plan, job: &Job, seen: &Seen) {
    let pods: HashSet<_> = seen.pods.iter().filter_map(|pod| pod.place).collect();
    let services = seen.services.iter();
    let services: HashSet<_> = services.filter_map(|service| service.place).collect();
    for replica in &job.replicas {
        for index in 0..replica.count {
            let place = Place {
                role: replica.role,
                index,
            };
            if !pods.contains(&place) {
                plan.create_pods.push(place);
            }
            if job.has_service(replica.role, index) && !services.contains(&place) {
                plan.create_services.push(place);
            }
        }
    }
    let is_extra = |place: Option<Place>| {
        place.is_some_and(|place| {
            let replica = job.replica(place.role);
            replica.is_none_or(|replica| place.index >= replica.count)
        })
    };
    let pods = seen.pods.iter().filter(|pod| !pod.is_deleting);
    plan.delete_pods
        .extend(pods.filter(|pod| is_extra(pod.place)).cloned());
    let services = seen.services.iter().filter(|service| !service.is_deleting);
    plan.delete_services
        .extend(services.filter(|service| is_extra(service.place)).cloned());
}

/// `worker-0`.
fn task(place: Place) -> String {
    format!("{}-{}", place.role.lower(), place.index)
}
