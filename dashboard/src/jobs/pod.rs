//! A pod of a job in one line.

use carrel_jobs::names;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::kind::JobKind;
use super::row::one_line;

const REPLICATED_JOB: &str = "jobset.sigs.k8s.io/replicatedjob-name";
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

#[derive(Clone, Debug, PartialEq)]
pub struct PodRow {
    pub name: String,
    /// The type of its replica, in small letters.
    pub role: String,
    pub index: Option<u32>,
    pub state: String,
    pub class: &'static str,
    /// Why it waits or has failed.
    pub reason: String,
    pub restarts: i32,
    pub node: String,
    pub containers: Vec<String>,
    pub created: Option<Time>,
    /// Whether nothing runs in it any more.
    pub is_over: bool,
    /// Whether there may be a log.
    pub has_log: bool,
}

impl PodRow {
    pub fn read(kind: JobKind, pod: &Pod) -> Self {
        let labels = pod.metadata.labels.as_ref();
        let label = |name: &str| labels.and_then(|labels| labels.get(name)).cloned();
        let (role, index) = match kind {
            JobKind::TfJob | JobKind::PyTorchJob => {
                (label(names::REPLICA_TYPE), label(names::REPLICA_INDEX))
            }
            JobKind::TrainJob => (label(REPLICATED_JOB), label(COMPLETION_INDEX)),
        };
        let statuses = statuses(pod);
        let (state, class) = state(pod, &statuses);
        let spec = pod.spec.as_ref();
        let phase = phase(pod);
        Self {
            name: pod.metadata.name.clone().unwrap_or_default(),
            role: role.unwrap_or_else(|| "other".to_owned()),
            index: index.and_then(|index| index.parse().ok()),
            state,
            class,
            reason: one_line(&reason(pod, &statuses)),
            restarts: statuses.iter().map(|status| status.restart_count).sum(),
            node: spec
                .and_then(|spec| spec.node_name.clone())
                .unwrap_or_default(),
            containers: spec.map_or_else(Vec::new, |spec| {
                let containers = spec.containers.iter();
                containers.map(|one| one.name.clone()).collect()
            }),
            created: pod.metadata.creation_timestamp.clone(),
            is_over: matches!(phase, "Succeeded" | "Failed"),
            has_log: statuses.iter().any(|status| has_begun(status)),
        }
    }
}

fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn statuses(pod: &Pod) -> Vec<&ContainerStatus> {
    let status = pod.status.as_ref();
    let initial = status.and_then(|status| status.init_container_statuses.as_ref());
    let usual = status.and_then(|status| status.container_statuses.as_ref());
    initial.into_iter().chain(usual).flatten().collect()
}

fn has_begun(status: &ContainerStatus) -> bool {
    let state = status.state.as_ref();
    let runs = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
    runs || status.restart_count > 0
}

fn state(pod: &Pod, statuses: &[&ContainerStatus]) -> (String, &'static str) {
    if pod.metadata.deletion_timestamp.is_some() {
        return ("Terminating".to_owned(), "busy");
    }
    let waits = statuses.iter().find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        waiting.reason.as_deref()
    });
    match (phase(pod), waits) {
        (_, Some(reason @ ("PodInitializing" | "ContainerCreating"))) => {
            (reason.to_owned(), "busy")
        }
        (_, Some(reason)) => (reason.to_owned(), "bad"),
        ("Running", None) => ("Running".to_owned(), "good"),
        ("Succeeded", None) => ("Completed".to_owned(), "good"),
        ("Failed", None) => ("Failed".to_owned(), "bad"),
        ("" | "Pending", None) => ("Pending".to_owned(), "busy"),
        (other, None) => (other.to_owned(), ""),
    }
}

/// What the pod or one of its containers says of itself that somebody wants to know.
fn reason(pod: &Pod, statuses: &[&ContainerStatus]) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    for container in statuses {
        let Some(state) = &container.state else {
            continue;
        };
        if let Some(waiting) = &state.waiting
            && waiting.message.is_some()
        {
            return text(&waiting.message);
        }
        if let Some(ended) = &state.terminated
            && ended.exit_code != 0
        {
            let why = ended.reason.as_deref().filter(|why| *why != "Error");
            let why = why.map_or_else(String::new, |why| format!("{why}, "));
            let said = ended.message.as_deref().unwrap_or_default();
            let said = if said.is_empty() {
                String::new()
            } else {
                format!(": {said}")
            };
            return format!("{why}exit code {}{said}", ended.exit_code);
        }
    }
    let Some(status) = &pod.status else {
        return String::new();
    };
    if status.message.is_some() || status.reason.is_some() {
        return format!("{} {}", text(&status.reason), text(&status.message));
    }
    let conditions = status.conditions.iter().flatten();
    let mut unscheduled =
        conditions.filter(|one| one.type_ == "PodScheduled" && one.status == "False");
    unscheduled
        .next()
        .map(|one| text(&one.message))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn row(status: Value) -> PodRow {
        let pod = json!({
            "metadata": { "name": "job-worker-1", "labels": {
                "training.kubeflow.org/replica-type": "worker",
                "training.kubeflow.org/replica-index": "1",
            } },
            "spec": { "nodeName": "n1", "containers": [{ "name": "pytorch" }] },
            "status": status,
        });
        PodRow::read(JobKind::PyTorchJob, &serde_json::from_value(pod).unwrap())
    }

    fn container(state: Value) -> Value {
        json!([{ "name": "pytorch", "image": "", "imageID": "", "ready": false, "restartCount": 2, "state": state }])
    }

    #[test]
    fn a_pod_says_what_it_waits_for() {
        let waits =
            json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such\nimage" } });
        let row = row(json!({ "phase": "Pending", "containerStatuses": container(waits) }));
        assert_eq!(
            (row.role.as_str(), row.index, row.restarts),
            ("worker", Some(1), 2)
        );
        assert_eq!((row.state.as_str(), row.class), ("ImagePullBackOff", "bad"));
        assert_eq!(row.reason, "no such image");
        assert!(!row.is_over);
    }

    #[test]
    fn a_pod_says_how_it_ended_and_why_it_was_never_placed() {
        let ended = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
        let failed = row(json!({ "phase": "Failed", "containerStatuses": container(ended) }));
        assert_eq!(failed.reason, "OOMKilled, exit code 137");
        assert!(failed.is_over && failed.has_log);
        let waits = row(json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available" },
        ] }));
        assert_eq!((waits.state.as_str(), waits.class), ("Pending", "busy"));
        assert_eq!(waits.reason, "0/1 nodes are available");
        assert!(!waits.has_log);
    }
}
