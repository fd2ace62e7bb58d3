//! What is read of pods and services.

use carrel_jobs::kind::{Kind, Role};
use carrel_jobs::names::{ATTEMPT, Marks};
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStatus, Pod, PodCondition, PodStatus, Service,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use crate::children::Child;

/// A pod of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenPod {
    pub name: String,
    pub uid: String,
    pub place: Option<Place>,
    /// In which attempt it was made, where it is one of a TrainJob.
    pub attempt: i32,
    pub phase: Phase,
    /// It was asked to end.
    pub is_deleting: bool,
    /// Of the container that trains, or of one before it that failed; nothing where the pod was taken away, whatever its
    /// containers made of that.
    pub exit_code: Option<i32>,
    /// How often its containers were started again by the node.
    pub restarts: i32,
    /// Why it failed, or what it waits for.
    pub reason: Option<String>,
    pub created: Option<Timestamp>,
    pub stage: Stage,
    pub ended: Option<Timestamp>,
}

/// How far a pod has come on its way to its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Somebody holds it back, such as a queue.
    Held,
    /// It has no node.
    Unplaced,
    /// It has one, and nothing of it runs there.
    Placed,
    /// One of its containers runs, or one that prepares it.
    Begun,
}

/// Which replica of the job it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub role: Role,
    pub index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenService {
    pub name: String,
    pub uid: String,
    pub place: Option<Place>,
    pub is_deleting: bool,
}

impl SeenPod {
    /// Whether it is neither over nor asked to end.
    pub fn goes_on(&self) -> bool {
        !self.phase.is_over() && !self.is_deleting
    }
}

impl Child for SeenPod {
    type Object = Pod;

    fn of(pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.as_deref().unwrap_or_default();
        let before = status.init_container_statuses.as_deref();
        let before = before.unwrap_or_default();
        let all = || before.iter().chain(containers);
        let name = kind(&pod.metadata).map(Kind::container);
        let mut main = containers.iter();
        let main = main.find(|container| Some(container.name.as_str()) == name);
        let disruption = disruption(&status);
        let ended = ended(main).map(|ended| (None, ended));
        let ended = ended.or_else(|| failed_before(before));
        let phase = match status.phase.as_deref() {
            Some("Running") => Phase::Running,
            Some("Succeeded") => Phase::Succeeded,
            Some("Failed") => Phase::Failed,
            _ => Phase::Pending,
        };
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            place: place(&pod.metadata),
            attempt: attempt(&pod.metadata),
            phase,
            is_deleting: pod.metadata.deletion_timestamp.is_some(),
            exit_code: ended
                .filter(|_| disruption.is_none())
                .map(|(_, ended)| ended.exit_code),
            restarts: all().map(|one| one.restart_count).sum(),
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            stage: stage(pod, all()),
            reason: match phase {
                Phase::Failed => Some(disruption.unwrap_or_else(|| failure(&status, ended))),
                Phase::Pending | Phase::Running => waiting(&status, all()),
                Phase::Succeeded => None,
            },
            // One that its node refused has no containers that could have ended.
            ended: ended
                .and_then(|(_, ended)| ended.finished_at.clone())
                .or_else(|| status.start_time.clone())
                .or_else(|| pod.metadata.creation_timestamp.clone())
                .filter(|_| phase.is_over())
                .map(|time| time.0),
        }
    }
}

impl Child for SeenService {
    type Object = Service;

    fn of(service: &Service) -> Self {
        Self {
            name: service.metadata.name.clone().unwrap_or_default(),
            uid: service.metadata.uid.clone().unwrap_or_default(),
            place: place(&service.metadata),
            is_deleting: service.metadata.deletion_timestamp.is_some(),
        }
    }
}

fn stage<'a>(pod: &Pod, mut containers: impl Iterator<Item = &'a ContainerStatus>) -> Stage {
    let spec = pod.spec.as_ref();
    let gates = spec.and_then(|spec| spec.scheduling_gates.as_ref());
    if gates.is_some_and(|gates| !gates.is_empty()) {
        return Stage::Held;
    }
    let node = spec.and_then(|spec| spec.node_name.as_deref());
    if node.is_none_or(str::is_empty) {
        return Stage::Unplaced;
    }
    let runs = |one: &ContainerStatus| one.state.as_ref().is_some_and(|it| it.running.is_some());
    match containers.any(runs) {
        true => Stage::Begun,
        false => Stage::Placed,
    }
}

/// The kind of its job.
fn kind(meta: &ObjectMeta) -> Option<Kind> {
    let labels = meta.labels.as_ref()?;
    let mut kinds = Kind::ALL.into_iter();
    kinds.find(|kind| {
        let operator = labels.get(Marks::of(*kind).operator);
        operator.is_some_and(|operator| kind.operator() == operator)
    })
}

/// In which attempt of its job it was made.
pub fn attempt(meta: &ObjectMeta) -> i32 {
    let labels = meta.labels.as_ref();
    let attempt = labels.and_then(|labels| labels.get(ATTEMPT)?.parse().ok());
    attempt.unwrap_or_default()
}

fn place(meta: &ObjectMeta) -> Option<Place> {
    let labels = meta.labels.as_ref()?;
    let kind = kind(meta)?;
    let marks = Marks::of(kind);
    Some(Place {
        role: kind.role(labels.get(marks.role)?)?,
        index: labels.get(marks.index)?.parse().ok()?,
    })
}

/// What took a pod away that did not end by itself: its node, the scheduler, a person who drains a node.
/// <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>
fn disruption(status: &PodStatus) -> Option<String> {
    // What a kubelet says of it beside the condition, or an older one in its place; a pod's own deadline is none.
    const BY_NODE: [&str; 4] = ["Evicted", "NodeLost", "Preempting", "Terminated"];
    let reason = status.reason.as_deref().unwrap_or_default();
    if BY_NODE.contains(&reason) {
        return Some(said(reason, status.message.as_deref()));
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let is_it = |one: &&PodCondition| one.type_ == "DisruptionTarget" && one.status == "True";
    let condition = conditions.iter().find(is_it)?;
    let reason = condition.reason.as_deref().unwrap_or("it was taken away");
    Some(said(reason, condition.message.as_deref()))
}

fn ended(container: Option<&ContainerStatus>) -> Option<&ContainerStateTerminated> {
    container?.state.as_ref()?.terminated.as_ref()
}

/// The container before the others that failed, with its name: those were never begun.
fn failed_before(before: &[ContainerStatus]) -> Option<(Option<&str>, &ContainerStateTerminated)> {
    before.iter().find_map(|one| {
        let ended = ended(Some(one)).filter(|ended| ended.exit_code != 0)?;
        Some((Some(one.name.as_str()), ended))
    })
}

/// Why a pod failed, in a few words.
fn failure(status: &PodStatus, ended: Option<(Option<&str>, &ContainerStateTerminated)>) -> String {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let Some((before, ended)) = ended else {
        // Refused by its node.
        let reason = text(&status.reason).unwrap_or_else(|| "it was ended".to_owned());
        return said(&reason, status.message.as_deref());
    };
    let reason = text(&ended.reason).filter(|reason| reason != "Error");
    let code = format!("exit code {}", ended.exit_code);
    let what = reason.map_or_else(|| code.clone(), |reason| format!("{reason}, {code}"));
    let what = said(&what, ended.message.as_deref());
    match before {
        Some(name) => format!("its init container {name}: {what}"),
        None => what,
    }
}

fn said(reason: &str, message: Option<&str>) -> String {
    match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("{reason}: {}", brief(message)),
        None => reason.to_owned(),
    }
}

/// What keeps a pod from its work, if it is more than a moment.
fn waiting<'a>(
    status: &PodStatus,
    containers: impl Iterator<Item = &'a ContainerStatus>,
) -> Option<String> {
    for container in containers {
        let waiting = container
            .state
            .as_ref()
            .and_then(|state| state.waiting.as_ref());
        let Some(reason) = waiting.and_then(|waiting| waiting.reason.as_deref()) else {
            continue;
        };
        let message = waiting.and_then(|waiting| waiting.message.as_deref());
        let image = &container.image;
        return match reason {
            // The one follows the other again and again.
            "ErrImagePull" | "ImagePullBackOff" => {
                Some(format!("the image {image} cannot be pulled"))
            }
            "ContainerCreating" | "PodInitializing" => continue,
            "CrashLoopBackOff" => Some("it ends again and again (CrashLoopBackOff)".to_owned()),
            reason => Some(message.map_or_else(
                || reason.to_owned(),
                |message| format!("{reason}: {}", brief(message)),
            )),
        };
    }
    let unscheduled = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() != Some("SchedulingGated")
    })?;
    let message = unscheduled.message.clone().unwrap_or_default();
    Some(format!("it has no node: {}", brief(&message)))
}

/// The first line of a message, which may be a log.
fn brief(message: &str) -> String {
    const LONGEST: usize = 200;
    let line = message.trim().lines().next().unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
