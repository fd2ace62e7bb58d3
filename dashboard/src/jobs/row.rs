//! A job in one line: its state, why, how many replicas, since when.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::DynamicObject;
use serde_json::Value;

use super::kind::JobKind;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Created,
    Running,
    Restarting,
    Suspended,
    Succeeded,
    Failed,
}

impl State {
    pub const ALL: [Self; 6] = [
        Self::Created,
        Self::Running,
        Self::Restarting,
        Self::Suspended,
        Self::Succeeded,
        Self::Failed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Running => "Running",
            Self::Restarting => "Restarting",
            Self::Suspended => "Suspended",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// How pages colour it.
    pub fn class(self) -> &'static str {
        match self {
            Self::Created | Self::Suspended => "",
            Self::Running | Self::Succeeded => "good",
            Self::Restarting => "warn",
            Self::Failed => "bad",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A condition of any kind of job.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub name: String,
    pub holds: bool,
    pub reason: String,
    pub message: String,
    pub since: Option<Time>,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub kind: JobKind,
    pub namespace: String,
    pub name: String,
    pub state: State,
    /// In one line; empty where there is nothing to say.
    pub reason: String,
    /// Type and number.
    pub replicas: Vec<(String, i64)>,
    pub created: Option<Time>,
}

impl Row {
    pub fn read(kind: JobKind, object: &DynamicObject) -> Self {
        let conditions = conditions(object);
        let status = &object.data["status"];
        let state = match kind {
            JobKind::TfJob | JobKind::PyTorchJob => state(&conditions),
            JobKind::TrainJob => state_of_trainjob(status, &conditions),
        };
        let told = status["reason"].as_str().map(str::to_owned);
        let last = || {
            let last = conditions.iter().rev().find(|one| one.holds);
            let last = last.filter(|_| state.is_over() || state == State::Restarting);
            last.map(|one| one.message.clone())
        };
        Self {
            kind,
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            state,
            reason: one_line(&told.or_else(last).unwrap_or_default()),
            replicas: replicas(kind, &object.data["spec"]),
            created: object.metadata.creation_timestamp.clone(),
        }
    }

    /// `1 Master, 3 Worker`
    pub fn replicas_text(&self) -> String {
        let each = self.replicas.iter();
        let each: Vec<_> = each
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        each.join(", ")
    }

    /// Whether its name, kind or namespace holds a text.
    pub fn matches(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let places = [
            self.name.as_str(),
            self.namespace.as_str(),
            self.kind.name(),
        ];
        places
            .iter()
            .any(|place| place.to_lowercase().contains(&text))
    }
}

pub fn conditions(object: &DynamicObject) -> Vec<Condition> {
    let found = object.data["status"]["conditions"].as_array();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let each = found.into_iter().flatten().map(|one| Condition {
        name: text(&one["type"]),
        holds: one["status"] == "True",
        reason: text(&one["reason"]),
        message: text(&one["message"]),
        since: serde_json::from_value(one["lastTransitionTime"].clone()).ok(),
    });
    each.collect()
}

/// The last condition that holds.
fn state(conditions: &[Condition]) -> State {
    let last = conditions.iter().rfind(|one| one.holds);
    last.and_then(|one| State::from_name(&one.name))
        .unwrap_or(State::Created)
}

fn state_of_trainjob(status: &Value, conditions: &[Condition]) -> State {
    let holds = |name: &str| conditions.iter().any(|one| one.holds && one.name == name);
    if holds("Failed") {
        return State::Failed;
    }
    if holds("Complete") {
        return State::Succeeded;
    }
    if holds("Suspended") {
        return State::Suspended;
    }
    // What this project's operator says itself; other controllers say of Jobs only whether they are active.
    if let Some(state) = status["state"].as_str() {
        return State::from_name(state).unwrap_or(State::Created);
    }
    let jobs = status["jobsStatus"].as_array();
    let active = |one: &Value| one["active"].as_i64().unwrap_or_default() > 0;
    match jobs.into_iter().flatten().any(active) {
        true => State::Running,
        false => State::Created,
    }
}

fn replicas(kind: JobKind, spec: &Value) -> Vec<(String, i64)> {
    if kind == JobKind::TrainJob {
        let nodes = spec["trainer"]["numNodes"].as_i64();
        return nodes
            .map(|nodes| ("node".to_owned(), nodes))
            .into_iter()
            .collect();
    }
    let specs = spec[kind.replicas_field()].as_object();
    let mut found: Vec<_> = specs
        .into_iter()
        .flatten()
        .map(|(name, one)| {
            let role = kind.role(name);
            let shown = role.map_or(name.as_str(), |role| role.name()).to_owned();
            (role, shown, one["replicas"].as_i64().unwrap_or(1))
        })
        .collect();
    found.sort_by_key(|(role, ..)| *role);
    let each = found.into_iter();
    each.map(|(_, name, count)| (name, count)).collect()
}

pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> DynamicObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_job_is_one_line() {
        let job = object(json!({
            "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob",
            "metadata": { "name": "mnist", "namespace": "lab" },
            "spec": { "pytorchReplicaSpecs": { "Worker": { "replicas": 3 }, "master": {} } },
            "status": { "conditions": [
                { "type": "Created", "status": "True" },
                { "type": "Running", "status": "False" },
                { "type": "Failed", "status": "True", "message": "worker-1\n failed" },
            ] },
        }));
        let row = Row::read(JobKind::PyTorchJob, &job);
        assert_eq!(row.state, State::Failed);
        assert_eq!(row.reason, "worker-1 failed");
        assert_eq!(row.replicas_text(), "1 Master, 3 Worker");
        assert!(row.matches("MNI") && row.matches("lab") && !row.matches("tf"));
    }

    #[test]
    fn a_trainjob_has_states_of_its_own() {
        let state = |status: Value| {
            let job = object(json!({ "metadata": {}, "spec": {}, "status": status }));
            Row::read(JobKind::TrainJob, &job).state
        };
        assert_eq!(state(json!({})), State::Created);
        assert_eq!(
            state(json!({ "jobsStatus": [{ "name": "node", "active": 1 }] })),
            State::Running
        );
        let says = |name: &str| json!({ "state": name, "jobsStatus": [{ "active": 1 }] });
        assert_eq!(state(says("Waiting")), State::Created);
        assert_eq!(state(says("Created")), State::Created);
        assert_eq!(state(says("Running")), State::Running);
        assert_eq!(state(says("Restarting")), State::Restarting);
        let with = |name: &str| json!({ "conditions": [{ "type": name, "status": "True" }] });
        assert_eq!(state(with("Complete")), State::Succeeded);
        assert_eq!(state(with("Suspended")), State::Suspended);
        assert_eq!(state(with("Failed")), State::Failed);
    }
}
