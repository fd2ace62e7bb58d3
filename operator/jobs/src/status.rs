//! The status of a job, in the shape of v1 with what people look at first in plain fields.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::progress::TrainerStatus;
use crate::schema;

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct JobStatus {
    /// Created, Running, Restarting, Suspended, Succeeded or Failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why, in one line: what failed, what a pod waits for, what is wrong with the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<JobCondition>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub replica_statuses: BTreeMap<String, ReplicaStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_reconcile_time: Option<Time>,
    /// Since when there are pods that do not start, where they are to start in a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub waiting_since: Option<Time>,
    /// By role and index, such as `worker-0`: pods that were made anew.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub restarts: BTreeMap<String, Restarts>,
    /// What the job's processes said last.
    // That of TrainJobs is in a shape of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TrainerStatus>")]
    pub trainer_status: Option<Value>,
    /// What only TrainJobs have: [`crate::trainjob::status`] is the shape that holds it.
    #[serde(skip)]
    pub train: TrainState,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainState {
    /// How often the whole job was begun anew, for whatever reason.
    pub attempt: i32,
    /// How many nodes there are to be.
    pub nodes: i32,
    /// The spec of the runtime as it was when the job began.
    pub runtime: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JobCondition {
    #[serde(rename = "type")]
    #[schemars(with = "String")]
    pub kind: ConditionType,
    /// True, False or Unknown.
    pub status: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_update_time: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum ConditionType {
    Created,
    Running,
    Restarting,
    Suspended,
    Succeeded,
    Failed,
}

impl ConditionType {
    /// The one of this name; another is somebody else's.
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(Value::from(name)).ok()
    }

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

    fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// Pods of one role, by what they do.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaStatus {
    #[serde(skip_serializing_if = "is_zero")]
    pub active: i32,
    #[serde(skip_serializing_if = "is_zero")]
    pub succeeded: i32,
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: i32,
    /// In use before `selector`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::template")]
    pub label_selector: Option<LabelSelector>,
    /// The labels of these pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// How often a replica's pod was made anew, and the pod that was counted last: each counts once.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct Restarts {
    pub count: i32,
    pub last_pod: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl JobStatus {
    /// From an object's field; nulls, which Go programs write, are nothing.
    ///
    /// # Errors
    /// When somebody else has written it. To take it for nothing would begin a job anew that may be over.
    pub fn read(status: Option<&Value>) -> Result<Self, serde_json::Error> {
        let mut status = status.cloned().unwrap_or_default();
        match &mut status {
            Value::Null => return Ok(Self::default()),
            Value::Object(fields) => {
                fields.retain(|_, value| !value.is_null());
                if let Some(Value::Array(conditions)) = fields.get_mut("conditions") {
                    let is_of_others = |one: &Value| is_of_others(one, ConditionType::from_name);
                    // Theirs alone are a status that this operator has not written.
                    if !conditions.iter().all(is_of_others) {
                        conditions.retain(|one| !is_of_others(one));
                    }
                }
            }
            _ => {}
        }
        serde_json::from_value(status)
    }

    pub fn condition(&self, kind: ConditionType) -> Option<&JobCondition> {
        self.conditions
            .iter()
            .find(|condition| condition.kind == kind)
    }

    pub fn is(&self, kind: ConditionType) -> bool {
        self.condition(kind)
            .is_some_and(|condition| condition.status == "True")
    }

    /// Whether the job is over.
    pub fn is_over(&self) -> bool {
        self.is(ConditionType::Succeeded) || self.is(ConditionType::Failed)
    }

    /// A condition becomes true. Running and Restarting exclude each other, an end ends Running.
    pub fn set(&mut self, kind: ConditionType, reason: &str, message: &str, now: &Time) {
        self.put(kind, true, reason, message, now);
    }

    /// A condition that was true is so no longer.
    pub fn unset(&mut self, kind: ConditionType, reason: &str, message: &str, now: &Time) {
        if self.is(kind) {
            self.put(kind, false, reason, message, now);
        }
    }

    fn put(&mut self, kind: ConditionType, holds: bool, reason: &str, message: &str, now: &Time) {
        use ConditionType::{Restarting, Running};
        let status = if holds { "True" } else { "False" };
        let old = self.condition(kind).cloned();
        let same = old
            .as_ref()
            .is_some_and(|old| old.status == status && old.reason == reason);
        if !same {
            let since = old
                .filter(|old| old.status == status)
                .and_then(|old| old.last_transition_time);
            self.conditions.retain(|condition| {
                condition.kind != kind
                    && !(holds && kind == Restarting && condition.kind == Running)
                    && !(holds && kind == Running && condition.kind == Restarting)
            });
            if holds && kind.is_end() {
                for condition in &mut self.conditions {
                    if condition.kind == Running && condition.status == "True" {
                        "False".clone_into(&mut condition.status);
                        condition.last_update_time = Some(now.clone());
                        condition.last_transition_time = Some(now.clone());
                    }
                }
            }
            self.conditions.push(JobCondition {
                kind,
                status: status.to_owned(),
                reason: reason.to_owned(),
                message: message.to_owned(),
                last_update_time: Some(now.clone()),
                last_transition_time: since.or_else(|| Some(now.clone())),
            });
        }
        self.state = state(&self.conditions);
    }
}

/// The conditions of a status that somebody else has put there, such as a queue: all of types that are not our `own`.
pub fn of_others(status: &Value, own: fn(&str) -> Option<ConditionType>) -> Vec<Value> {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let theirs = conditions.filter(|condition| is_of_others(condition, own));
    theirs.cloned().collect()
}

fn is_of_others(condition: &Value, own: fn(&str) -> Option<ConditionType>) -> bool {
    let name = condition["type"].as_str();
    name.is_some_and(|name| own(name).is_none())
}

/// The last condition that holds.
pub fn state(conditions: &[JobCondition]) -> Option<String> {
    let holds = |condition: &&JobCondition| condition.status == "True";
    let last = conditions.iter().rfind(holds)?;
    Some(last.kind.name().to_owned())
}

/// What PyTorchJob v1alpha1 calls the state and the phase of a job.
pub fn v1alpha1(conditions: &[JobCondition]) -> (&'static str, &'static str) {
    match state(conditions).as_deref() {
        Some("Succeeded") => ("Succeeded", "Done"),
        Some("Failed") => ("Failed", "Failed"),
        // The phase stays what it was: it went from Creating to Done.
        Some("Running") => ("Running", "Creating"),
        Some(_) => ("Unknown", "Creating"),
        None => ("Unknown", ""),
    }
}

/// [`JobStatus`] as TFJob v1alpha2 has it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct V1Alpha2 {
    #[serde(flatten)]
    pub status: JobStatus,
    pub tf_replica_statuses: BTreeMap<String, ReplicaStatus>,
}

/// [`JobStatus`] as PyTorchJob v1alpha1 has it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct V1Alpha1 {
    /// Creating, then Done or Failed.
    pub phase: Option<String>,
    /// Unknown, Running, Succeeded or Failed.
    pub state: Option<String>,
    pub reason: Option<String>,
    pub conditions: Option<Vec<JobCondition>>,
    pub replica_statuses: Option<Vec<ReplicaStatusV1Alpha1>>,
    /// As v1 has them under `replicaStatuses`.
    pub replica_counts: Option<BTreeMap<String, ReplicaStatus>>,
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    #[schemars(schema_with = "schema::time")]
    pub last_reconcile_time: Option<Time>,
    #[schemars(schema_with = "schema::time")]
    pub waiting_since: Option<Time>,
    pub restarts: Option<BTreeMap<String, Restarts>>,
    #[schemars(with = "Option<TrainerStatus>")]
    pub trainer_status: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ReplicaStatusV1Alpha1 {
    pub replica_type: String,
    /// Unknown, Running, Succeeded or Failed.
    pub state: String,
    /// How many are in which state.
    #[serde(rename = "ReplicasStates")]
    pub replicas_states: BTreeMap<String, i32>,
}
