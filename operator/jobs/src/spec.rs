//! What the specs of all kinds share: policies and the description of one kind of replicas.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::schema;

/// A pod's template as it was written: fields that this program does not know go to the pod all the same.
pub type Template = Map<String, Value>;

/// The most pods that a job may have: each needs an object, and knows of all others.
pub const MOST_REPLICAS: i32 = 5000;

/// One kind of replicas of a job.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSpec {
    /// How many; 1 unless given.
    #[schemars(range(min = 0, max = MOST_REPLICAS))]
    pub replicas: Option<i32>,
    /// When a pod that ends is started again.
    pub restart_policy: Option<RestartPolicy>,
    /// The pod of each.
    #[schemars(schema_with = "schema::template")]
    pub template: Option<Template>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
    ExitCode,
}

impl RestartPolicy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::OnFailure => "OnFailure",
            Self::Never => "Never",
            Self::ExitCode => "ExitCode",
        }
    }

    /// What the pod says: by exit code it is this operator that starts anew, not the node.
    pub fn of_pod(self) -> &'static str {
        match self {
            Self::ExitCode => "Never",
            other => other.name(),
        }
    }
}

/// What becomes of pods when the job is over. The empty text is an old way to say nothing.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum CleanPodPolicy {
    All,
    Running,
    None,
    #[serde(rename = "")]
    Unset,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct RunPolicy {
    /// Which pods are deleted when the job is over.
    pub clean_pod_policy: Option<CleanPodPolicy>,
    /// Seconds after which a job that is over is deleted.
    pub ttl_seconds_after_finished: Option<i32>,
    /// Seconds that the job may run.
    pub active_deadline_seconds: Option<i64>,
    /// How many restarts make the job fail.
    pub backoff_limit: Option<i32>,
    /// For schedulers that start all pods or none.
    pub scheduling_policy: Option<SchedulingPolicy>,
    /// No pods while this is true.
    pub suspend: Option<bool>,
    /// Who runs the job: kubeflow.org/training-operator, or kueue.x-k8s.io/multikueue.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = managers()))]
    pub managed_by: Option<String>,
}

/// Any other would run no job, and nobody would say so.
fn managers() -> Value {
    serde_json::json!([
        {
            "rule": "self in ['kubeflow.org/training-operator', 'kueue.x-k8s.io/multikueue']",
            "message": "it must be kubeflow.org/training-operator or kueue.x-k8s.io/multikueue",
        },
        { "rule": "self == oldSelf", "message": "field is immutable" },
    ])
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct SchedulingPolicy {
    pub min_available: Option<i32>,
    pub queue: Option<String>,
    #[schemars(schema_with = "schema::quantities")]
    pub min_resources: Option<std::collections::BTreeMap<String, Quantity>>,
    pub priority_class: Option<String>,
    pub schedule_timeout_seconds: Option<i32>,
}

/// The fields of [`RunPolicy`] that the betas have at the top of the spec. Jobs of the first v1 had them there too.
pub const AT_TOP: [&str; 4] = [
    "activeDeadlineSeconds",
    "backoffLimit",
    "cleanPodPolicy",
    "ttlSecondsAfterFinished",
];

/// [`AT_TOP`] as a type.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct TopPolicy {
    /// Seconds that the job may run.
    pub active_deadline_seconds: Option<i64>,
    /// How many restarts make the job fail.
    pub backoff_limit: Option<i32>,
    /// Which pods are deleted when the job is over.
    pub clean_pod_policy: Option<CleanPodPolicy>,
    /// Seconds after which a job that is over is deleted.
    pub ttl_seconds_after_finished: Option<i32>,
}

impl RunPolicy {
    /// What is missing here, from the top of the spec.
    #[must_use]
    pub fn or(self, top: &TopPolicy) -> Self {
        Self {
            clean_pod_policy: self.clean_pod_policy.or(top.clean_pod_policy),
            ttl_seconds_after_finished: self
                .ttl_seconds_after_finished
                .or(top.ttl_seconds_after_finished),
            active_deadline_seconds: self.active_deadline_seconds.or(top.active_deadline_seconds),
            backoff_limit: self.backoff_limit.or(top.backoff_limit),
            ..self
        }
    }
}
