//! The status of a TrainJob. The SDK `kubeflow` takes a job for running only while there are no conditions: there are those
//! of an end and of a suspension, and what else there is to say stands in plain fields.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kind::Role;
use crate::progress::TrainerStatus;
use crate::schema;
use crate::status::{
    ConditionType, JobCondition, JobStatus, ReplicaStatus, Restarts, TrainState, state,
};
use crate::trainjob::runtime::NODE;

/// The state of a job whose runtime is not there yet.
pub const WAITING: &str = "Waiting";
const COMPLETE: &str = "Complete";

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// Waiting, Created, Running, Restarting, Suspended, Complete or Failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why, in one line: what failed, what a pod waits for, what is wrong with the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Suspended, Complete, Failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The nodes as the one Job that they would be of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs_status: Vec<OfJob>,
    /// What the job's processes said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TrainerStatus>")]
    pub trainer_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Nodes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub start_time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub completion_time: Option<Time>,
    /// Since when there are pods that do not start, where they are to start in a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub waiting_since: Option<Time>,
    /// How often the whole job was begun anew, for whatever reason.
    #[serde(skip_serializing_if = "is_zero")]
    pub attempt: i32,
    /// By the node that failed, such as `node-1`: how often the whole job was begun anew for it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub restarts: BTreeMap<String, Restarts>,
    /// The spec of the runtime as it was when the job began: later changes of the runtime are not for this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::template")]
    pub runtime: Option<Map<String, Value>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    pub reason: String,
    pub message: String,
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Option<Time>,
}

/// Of Jobs, not of pods.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct OfJob {
    pub name: String,
    pub ready: i32,
    pub succeeded: i32,
    pub failed: i32,
    pub active: i32,
    pub suspended: i32,
}

/// Pods, by what they do.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Nodes {
    /// How many there are to be.
    pub total: i32,
    pub active: i32,
    pub succeeded: i32,
    pub failed: i32,
}

/// From an object's field.
///
/// # Errors
/// When somebody else has written it.
pub fn read(status: Option<&Value>) -> Result<JobStatus, serde_json::Error> {
    let mut status = status.cloned().unwrap_or_default();
    match &mut status {
        Value::Null => return Ok(JobStatus::default()),
        Value::Object(fields) => fields.retain(|_, value| !value.is_null()),
        _ => {}
    }
    let status: Status = serde_json::from_value(status)?;
    let conditions = conditions(&status);
    let nodes = status.nodes;
    let counts = nodes.map(|nodes| ReplicaStatus {
        active: nodes.active,
        succeeded: nodes.succeeded,
        failed: nodes.failed,
        ..ReplicaStatus::default()
    });
    let counts = counts.map(|counts| (Role::Node.name().to_owned(), counts));
    Ok(JobStatus {
        state: state(&conditions),
        reason: status.reason,
        conditions,
        replica_statuses: counts.into_iter().collect(),
        start_time: status.start_time,
        completion_time: status.completion_time,
        last_reconcile_time: None,
        waiting_since: status.waiting_since,
        restarts: status.restarts,
        trainer_status: None,
        train: TrainState {
            attempt: status.attempt,
            nodes: nodes.map_or(0, |nodes| nodes.total),
            runtime: status.runtime,
        },
    })
}

/// The type of a condition, by its name on the object; another is of somebody else, such as a queue.
pub fn condition_type(name: &str) -> Option<ConditionType> {
    match name {
        "Suspended" => Some(ConditionType::Suspended),
        COMPLETE => Some(ConditionType::Succeeded),
        "Failed" => Some(ConditionType::Failed),
        _ => None,
    }
}

/// The attempt that a status says.
pub fn attempt(status: &Value) -> i64 {
    status["attempt"].as_i64().unwrap_or_default()
}

/// Those of other kinds too, which follow from the state.
fn conditions(status: &Status) -> Vec<JobCondition> {
    let state = status.state.as_deref();
    let plain = |kind: ConditionType| JobCondition {
        kind,
        status: "True".to_owned(),
        reason: format!("TrainJob{}", kind.name()),
        message: String::new(),
        last_update_time: None,
        last_transition_time: None,
    };
    let was_begun = state.is_some_and(|state| state != WAITING);
    let mut conditions: Vec<_> = was_begun
        .then(|| plain(ConditionType::Created))
        .into_iter()
        .collect();
    for condition in &status.conditions {
        let Some(kind) = condition_type(&condition.kind) else {
            continue;
        };
        conditions.push(JobCondition {
            status: condition.status.clone(),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            last_transition_time: condition.last_transition_time.clone(),
            ..plain(kind)
        });
    }
    match state {
        Some("Running") => conditions.push(plain(ConditionType::Running)),
        Some("Restarting") => conditions.push(plain(ConditionType::Restarting)),
        _ => {}
    }
    conditions
}

/// As the object holds it.
pub fn shown(status: &JobStatus) -> Status {
    let conditions = status.conditions.iter().filter_map(shown_condition);
    let counts = status.replica_statuses.get(Role::Node.name());
    let nodes = counts.map(|counts| Nodes {
        total: status.train.nodes,
        active: counts.active,
        succeeded: counts.succeeded,
        failed: counts.failed,
    });
    let is = |kind| status.is(kind);
    Status {
        state: status.state.as_deref().map(|state| match state {
            "Succeeded" => COMPLETE.to_owned(),
            other => other.to_owned(),
        }),
        reason: status.reason.clone(),
        conditions: conditions.collect(),
        jobs_status: nodes
            .map(|nodes| OfJob {
                name: NODE.to_owned(),
                ready: (nodes.active + nodes.succeeded >= nodes.total).into(),
                succeeded: is(ConditionType::Succeeded).into(),
                failed: is(ConditionType::Failed).into(),
                active: (!status.is_over() && !is(ConditionType::Suspended)).into(),
                suspended: is(ConditionType::Suspended).into(),
            })
            .into_iter()
            .collect(),
        trainer_status: None,
        nodes,
        start_time: status.start_time.clone(),
        completion_time: status.completion_time.clone(),
        waiting_since: status.waiting_since.clone(),
        attempt: status.train.attempt,
        restarts: status.restarts.clone(),
        runtime: status.train.runtime.clone(),
    }
}

fn shown_condition(condition: &JobCondition) -> Option<Condition> {
    let kind = match condition.kind {
        ConditionType::Suspended => "Suspended",
        ConditionType::Succeeded => COMPLETE,
        ConditionType::Failed => "Failed",
        ConditionType::Created | ConditionType::Running | ConditionType::Restarting => return None,
    };
    // The reasons that the Kubernetes of TrainJobs has for them.
    let reason = match condition.reason.as_str() {
        "TrainJobSuspended" => "Suspended",
        "TrainJobResumed" => "Resumed",
        "TrainJobSucceeded" => "AllJobsCompleted",
        "TrainJobFailed" => "FailedJobs",
        other => other,
    };
    Some(Condition {
        kind: kind.to_owned(),
        status: condition.status.clone(),
        reason: reason.to_owned(),
        message: condition.message.clone(),
        last_transition_time: condition.last_transition_time.clone(),
    })
}
