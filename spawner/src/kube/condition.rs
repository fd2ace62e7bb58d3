//! What a pod's status means for the person who waits for it. Pure: a pod in, a sentence out.

use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus,
};

use super::objects::CONTAINER;

/// How a server fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// On its way.
    Waiting,
    /// Kubernetes cannot go on, and will try again: why, and how long to let it; for ever where nothing is said.
    Troubled {
        reason: String,
        patience: Option<Duration>,
    },
    /// The server runs, and what was started beside it. `restarted` says why, where the server ended before.
    Running {
        ip: String,
        restarted: Option<String>,
    },
    /// It ended or will never run.
    Over { reason: String },
}

/// How long a registry may be out of reach.
const PULL_PATIENCE: Duration = Duration::from_secs(30);
/// How long something that the pod needs may be missing.
const CONFIG_PATIENCE: Duration = Duration::from_secs(20);

/// What the status of a pod says.
pub fn judge(pod: &Pod) -> Condition {
    let over = |reason: String| Condition::Over { reason };
    let status = pod.status.clone().unwrap_or_default();
    if pod.metadata.deletion_timestamp.is_some() {
        return over(disruption(&status));
    }
    match status.phase.as_deref() {
        Some("Failed") if status.reason.is_some() => return over(of_phase(&status)),
        Some("Failed" | "Succeeded") => {
            return over(of_ended(pod, &status).unwrap_or_else(|| of_phase(&status)));
        }
        _ => {}
    }
    let server = statuses(&status).find(|container| container.name == CONTAINER);
    let told = server.and_then(|server| of_container(pod, server));
    let runs = server.is_some_and(|server| {
        let state = server.state.as_ref();
        state.is_some_and(|state| state.running.is_some())
    });
    // As KubeSpawner: what becomes of the containers beside a server that runs is not the server's end.
    let told = told.or_else(|| {
        let mut others = statuses(&status).filter(|container| container.name != CONTAINER);
        (!runs)
            .then(|| others.find_map(|container| of_other(pod, container)))
            .flatten()
    });
    if let Some(condition) = told {
        return condition;
    }
    if let Some(reason) = unschedulable(&status) {
        return Condition::Troubled {
            reason,
            patience: None,
        };
    }
    running(pod, &status).unwrap_or(Condition::Waiting)
}

/// Why a pod is being deleted that nobody here has deleted.
fn disruption(status: &PodStatus) -> String {
    let mut conditions = status.conditions.iter().flatten();
    let target = conditions.find(|condition| condition.type_ == "DisruptionTarget");
    let text = match target.and_then(|target| target.reason.as_deref()) {
        Some("EvictionByEvictionAPI") => {
            "The pod of the server was evicted, for its node is being emptied"
        }
        Some("DeletionByTaintManager") => {
            "The pod of the server was evicted, for its node is lost or takes no such pods any more"
        }
        Some("PreemptionByScheduler") => "The server made room for a more important pod",
        Some("TerminationByKubelet") => {
            "The node ended the server, because it shuts down or ran short of resources"
        }
        _ => "The pod of the server was deleted",
    };
    text.to_owned()
}

/// Containers in the order in which they start.
fn statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let lists = [&status.init_container_statuses, &status.container_statuses];
    lists.into_iter().flatten().flatten()
}

fn of_phase(status: &PodStatus) -> String {
    let message = status.message.clone().unwrap_or_default();
    match status.reason.as_deref() {
        Some("Evicted") => {
            format!("The node evicted the server, because it ran short of resources: {message}")
        }
        Some("Preempting") => String::from("The server made room for a more important pod"),
        Some(reason) => format!("The pod of the server failed: {reason} {message}")
            .trim_end()
            .to_owned(),
        None => String::from("The pod of the server failed"),
    }
}

/// How a pod ended all of whose containers did: the server's own end, else that of the first that failed.
fn of_ended(pod: &Pod, status: &PodStatus) -> Option<String> {
    let ends = || {
        statuses(status).filter_map(|container| {
            let ended = container.state.as_ref()?.terminated.as_ref()?;
            Some((container.name.as_str(), ended))
        })
    };
    let (name, ended) = ends()
        .find(|(name, _)| *name == CONTAINER)
        .or_else(|| ends().find(|(_, ended)| ended.exit_code != 0))
        .or_else(|| ends().next())?;
    Some(how(pod, name, ended))
}

/// What keeps the server from its start, of a container that is not the server.
fn of_other(pod: &Pod, container: &ContainerStatus) -> Option<Condition> {
    let role = Role::of(pod, &container.name);
    let state = container.state.as_ref()?;
    let looping = state.waiting.as_ref().is_some_and(|waiting| {
        let reason = waiting.reason.as_deref();
        reason == Some("CrashLoopBackOff")
    });
    if state.terminated.is_none() && !looping {
        return of_container(pod, container);
    }
    match role {
        Role::Init => of_container(pod, container),
        // The server waits until it runs, and Kubernetes starts it again and again.
        Role::NativeSidecar => {
            let last = container.last_state.as_ref();
            let ended = state.terminated.as_ref();
            let ended = ended.or_else(|| last?.terminated.as_ref())?;
            Some(Condition::Troubled {
                reason: how(pod, &container.name, ended),
                patience: None,
            })
        }
        Role::Beside => None,
    }
}

/// What is wrong with a container; nothing where it starts or runs.
fn of_container(pod: &Pod, container: &ContainerStatus) -> Option<Condition> {
    let state = container.state.as_ref()?;
    if let Some(ended) = &state.terminated {
        let fine = Role::of(pod, &container.name) == Role::Init && ended.exit_code == 0;
        return (!fine).then(|| Condition::Over {
            reason: how(pod, &container.name, ended),
        });
    }
    let waiting = state.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    let image = &container.image;
    let over = |reason: String| Some(Condition::Over { reason });
    let troubled = |reason: String, patience| {
        Some(Condition::Troubled {
            reason,
            patience: Some(patience),
        })
    };
    match waiting.reason.as_deref()? {
        "InvalidImageName" => over(format!("{image:?} is no name of an image: {message}")),
        "ErrImageNeverPull" => over(format!(
            "The image {image} is not on the node, and may not be pulled (KubeSpawner.image_pull_policy: Never)"
        )),
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "ImageInspectError" => {
            let reason = format!("The image {image} cannot be pulled: {}", cause(message));
            if is_final_for_image(message) {
                over(reason)
            } else {
                troubled(reason, PULL_PATIENCE)
            }
        }
        "CreateContainerConfigError"
            if message.contains("runAsNonRoot") || message.contains("non-root") =>
        {
            over(format!(
                "The image {image} would run as root, or under a name in place of a number: set KubeSpawner.uid ({message})"
            ))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => troubled(
            format!("The container cannot be made: {message}"),
            CONFIG_PATIENCE,
        ),
        "CrashLoopBackOff" => {
            let ended = container.last_state.as_ref()?.terminated.as_ref()?;
            over(how(pod, &container.name, ended))
        }
        _ => None,
    }
}

/// The innermost of the reasons that Kubernetes strings together.
fn cause(message: &str) -> &str {
    let mark = ["ErrImagePull: ", "rpc error: "];
    let start = mark
        .iter()
        .filter_map(|mark| Some(message.find(mark)? + mark.len()));
    start.max().map_or(message, |start| &message[start..])
}

/// Whether a registry gave an answer that waiting does not change.
fn is_final_for_image(message: &str) -> bool {
    let message = message.to_lowercase();
    let answers = [
        "not found",
        "manifest unknown",
        "does not exist",
        "unauthorized",
        "access denied",
        "pull access",
        "403 forbidden",
    ];
    answers.iter().any(|answer| message.contains(answer))
}

/// What a container is to its pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Ends before the server starts.
    Init,
    /// Begins before the server and runs beside it (KEP-753).
    NativeSidecar,
    /// The server, or a container that starts with it.
    Beside,
}

impl Role {
    fn of(pod: &Pod, container: &str) -> Self {
        let spec = pod.spec.as_ref();
        let mut inits = spec
            .and_then(|spec| spec.init_containers.as_ref())
            .into_iter()
            .flatten();
        match inits.find(|init| init.name == container) {
            Some(init) if init.restart_policy.as_deref() == Some("Always") => Self::NativeSidecar,
            Some(_) => Self::Init,
            None => Self::Beside,
        }
    }
}

/// How a container ended, in a sentence.
fn how(pod: &Pod, container: &str, ended: &ContainerStateTerminated) -> String {
    let who = if container == CONTAINER {
        String::from("The server")
    } else {
        format!("The container {container}")
    };
    let message = ended.message.as_deref().unwrap_or_default();
    match ended.reason.as_deref() {
        Some("OOMKilled") => {
            let limit = memory_limit(pod, container);
            let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
            format!("{who} used more memory than its limit{limit} and was ended (OOMKilled)")
        }
        Some("StartError" | "ContainerCannotRun") => format!("{who} could not be run: {message}"),
        _ => match (ended.signal, ended.exit_code) {
            (Some(signal), _) => format!("{who} was ended by signal {signal}"),
            (None, code) => format!("{who} exited with status {code}"),
        },
    }
}

fn memory_limit(pod: &Pod, container: &str) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let container = containers.iter().find(|known| known.name == container)?;
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    Some(limits.get("memory")?.0.clone())
}

fn unschedulable(status: &PodStatus) -> Option<String> {
    let mut conditions = status.conditions.iter().flatten();
    let condition = conditions.find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let message = condition.message.as_deref().unwrap_or_default();
    // What comes behind speaks of preemption, which is nobody's concern here.
    let behind = [" no new claims", " preemption:"];
    let end = behind.iter().filter_map(|mark| message.find(mark)).min();
    let message = end.map_or(message, |end| &message[..end]);
    Some(format!("No node can take the server yet: {message}"))
}

fn running(pod: &Pod, status: &PodStatus) -> Option<Condition> {
    let containers = status.container_statuses.as_ref()?;
    // What has ended beside the server is not waited for: it may never be ready again.
    let settled = |container: &ContainerStatus| {
        let ended = |state: &Option<ContainerState>| {
            state
                .as_ref()
                .is_some_and(|state| state.terminated.is_some())
        };
        let beside = container.name != CONTAINER;
        container.ready || beside && (ended(&container.state) || ended(&container.last_state))
    };
    let ready = !containers.is_empty() && containers.iter().all(settled);
    let ip = status.pod_ip.clone().filter(|ip| !ip.is_empty())?;
    if status.phase.as_deref() != Some("Running") || !ready {
        return None;
    }
    let server = containers
        .iter()
        .find(|container| container.name == CONTAINER);
    let last = server.and_then(|server| server.last_state.as_ref()?.terminated.as_ref());
    let restarted = last.map(|ended| how(pod, CONTAINER, ended));
    Some(Condition::Running { ip, restarted })
}
