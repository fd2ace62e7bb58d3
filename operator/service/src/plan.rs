//! What follows for a job from what the cluster shows of it: a function of the job, its object, its pods and the time.
//! It is asked again after whatever happened, so that a service that ended in the midst of it goes on.

use carrel_operator::seen::{Phase, SeenPod};
use carrel_report::RankState;

use crate::record::{End, Record};

/// How long ranks that were asked to end may take to write a checkpoint; then their pods are taken away with their logs.
const GRACE: u64 = 60_000;
/// How long a watch may take to tell of what was made.
const LATE: u64 = 15_000;
/// Ends a pod by its node at once, by SIGTERM, and leaves the pod with its log: its deadline, in seconds.
pub const AT_ONCE: i64 = 1;
/// What a rank ends with that was stopped by a signal.
const STOPPED: i32 = 143;

/// What the cluster shows of the job's present attempt.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    pub object: Option<SeenObject>,
    /// By rank.
    pub pods: Vec<Option<Pod>>,
}

/// The object that the operator runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenObject {
    /// Why it failed, or that it succeeded.
    pub over: Option<String>,
    /// It does when rank 0 has, and others may go on: a function need not meet its ranks.
    pub has_succeeded: bool,
    pub is_suspended: bool,
    /// In one line, what it waits for.
    pub reason: Option<String>,
}

/// The pod of a rank.
#[derive(Clone, Debug)]
pub struct Pod {
    pub seen: SeenPod,
    pub has_node: bool,
    /// Whether it was asked to end so that its log stays.
    pub has_deadline: bool,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Ranks that can no longer say themselves how they ended.
    pub ended: Vec<End>,
    pub message: Option<String>,
    /// The object is to be made.
    pub makes: bool,
    /// Pods that are to end, and stay for their logs.
    pub end: Vec<String>,
    /// Pods that never began.
    pub delete: Vec<String>,
    /// The object whose pods are to be taken away. It is named: the job may have begun its next attempt when that is done.
    pub suspend: Option<String>,
}

/// What is to be done about a job at a time, in milliseconds since 1970.
pub fn plan(record: &Record, sight: &Sight, now: u64) -> Plan {
    let mut plan = Plan::default();
    if record.kept.made < record.kept.attempt && sight.object.is_none() {
        return unmade(record, now);
    }
    for (rank, known) in record.ranks.iter().enumerate() {
        let pod = sight.pods.get(rank).and_then(Option::as_ref);
        if !known.status.state.is_final()
            && let Some((state, reason)) = ended(record, sight, pod, now)
        {
            plan.ended.push(End {
                rank,
                state,
                reason,
            });
        }
    }
    let object = sight.object.clone().unwrap_or_default();
    if object.over.is_some() && !object.has_succeeded {
        plan.delete = names(pods(sight).filter(|pod| pod.seen.phase == Phase::Pending));
    }
    if let Some(cancelled) = record.kept.cancelled {
        let alive = |pod: &&Pod| pod.has_node && !pod.seen.phase.is_over();
        plan.end = names(pods(sight).filter(|pod| alive(pod) && !pod.has_deadline));
        let is_late = now.saturating_sub(cancelled) > GRACE;
        let goes_on = sight.object.is_some() && object.over.is_none() && !object.is_suspended;
        let is_left = goes_on && (is_late || pods(sight).filter(alive).count() == 0);
        plan.suspend = is_left.then(|| record.object());
    }
    if record.is_over()
        && let Some(since) = record.over_since
    {
        outlived(&mut plan, record, sight, now.saturating_sub(since));
    }
    plan.message = message(record, sight, &object);
    plan
}

/// Ends what goes on of a job whose ranks have all said that they ended, so long ago: it holds what others wait for.
fn outlived(plan: &mut Plan, record: &Record, sight: &Sight, ago: u64) {
    if ago <= GRACE {
        return;
    }
    let going = || pods(sight).filter(|pod| !pod.seen.phase.is_over());
    plan.end = names(going().filter(|pod| pod.has_node && !pod.has_deadline));
    let object = sight.object.as_ref();
    if object.is_some_and(|object| object.over.is_none() && !object.is_suspended) {
        let is_left = going().any(|pod| !pod.has_node || ago > 2 * GRACE);
        plan.suspend = is_left.then(|| record.object());
    } else {
        plan.delete = names(going().filter(|pod| !pod.has_node || ago > 2 * GRACE));
    }
}

/// Of an attempt whose object the cluster has not taken yet.
fn unmade(record: &Record, now: u64) -> Plan {
    let mut plan = Plan::default();
    match record.kept.cancelled {
        None => {
            plan.makes = !record.is_over();
            plan.message.clone_from(&record.message);
        }
        // It may have been taken though nobody was told so.
        Some(cancelled) if now.saturating_sub(cancelled) <= LATE => {
            plan.message = Some("it is being cancelled".to_owned());
        }
        Some(_) => plan.ended = record.all(RankState::Stopped, None),
    }
    plan
}

/// Whether a watch has told of what was made for the attempt, if anything has become of that.
pub fn is_late(record: &Record, now: u64) -> bool {
    now.saturating_sub(record.kept.started) > LATE
}

fn pods(sight: &Sight) -> impl Iterator<Item = &Pod> {
    let pods = sight.pods.iter().flatten();
    pods.filter(|pod| !pod.seen.is_deleting)
}

fn names<'a>(pods: impl Iterator<Item = &'a Pod>) -> Vec<String> {
    pods.map(|pod| pod.seen.name.clone()).collect()
}

/// How a rank ended whose last report does not say it.
fn ended(
    record: &Record,
    sight: &Sight,
    pod: Option<&Pod>,
    now: u64,
) -> Option<(RankState, Option<String>)> {
    let is_cancelled = record.kept.cancelled.is_some();
    let failed = |reason: String| match is_cancelled {
        true => (RankState::Stopped, None),
        false => (RankState::Failed, Some(reason)),
    };
    if let Some(pod) = pod {
        match pod.seen.phase {
            Phase::Succeeded => return Some((RankState::Succeeded, None)),
            Phase::Failed if pod.seen.exit_code == Some(STOPPED) => {
                return Some((RankState::Stopped, None));
            }
            Phase::Failed => return Some(failed(failure(pod))),
            // It reports its end itself.
            Phase::Running => return None,
            Phase::Pending if pod.seen.is_deleting => return None,
            Phase::Pending => {}
        }
    }
    let Some(object) = &sight.object else {
        return is_late(record, now)
            .then(|| failed("the job was taken from the cluster".to_owned()));
    };
    if let Some(why) = &object.over {
        if object.has_succeeded && pod.is_some() {
            return None;
        }
        return Some(failed(format!(
            "it never began, and the job is over: {why}"
        )));
    }
    (is_cancelled && object.is_suspended && pod.is_none()).then_some((RankState::Stopped, None))
}

fn failure(pod: &Pod) -> String {
    let reason = pod.seen.reason.as_deref().unwrap_or("nobody says why");
    match reason.strip_prefix("Evicted: ") {
        Some(why) => format!("its pod was evicted: {why}"),
        None => format!("its pod failed: {reason}"),
    }
}

fn message(record: &Record, sight: &Sight, object: &SeenObject) -> Option<String> {
    if record.kept.cancelled.is_some() {
        return Some("it is being cancelled".to_owned());
    }
    let waiting = sight.pods.iter().enumerate().find_map(|(rank, pod)| {
        let seen = &pod.as_ref()?.seen;
        let reason = seen.reason.as_ref().filter(|_| !seen.phase.is_over())?;
        Some(format!("rank {rank} waits: {reason}"))
    });
    waiting.or_else(|| object.reason.clone()).or_else(|| {
        let has_none = sight.pods.iter().any(Option::is_none);
        (has_none && object.over.is_none()).then(|| "it waits for its pods".to_owned())
    })
}
