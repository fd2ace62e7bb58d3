//! The specs of TFJob in its versions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::spec::{CleanPodPolicy, ReplicaSpec, RunPolicy, TopPolicy};

/// kubeflow.org/v1, the version that is stored.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct V1 {
    pub run_policy: Option<RunPolicy>,
    #[serde(flatten)]
    pub top: TopPolicy,
    /// When a job without chief has succeeded: with its first worker, or with all of them.
    pub success_policy: Option<SuccessPolicy>,
    /// By the name of their role: Chief or Master, Worker, PS, Evaluator.
    pub tf_replica_specs: BTreeMap<String, ReplicaSpec>,
    /// Workers know only themselves and the parameter servers, so that there may be more or fewer at any time.
    pub enable_dynamic_worker: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum SuccessPolicy {
    #[serde(rename = "")]
    Default,
    AllWorkers,
}

/// kubeflow.org/v1beta1 and v1beta2.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct V1Beta {
    #[serde(flatten)]
    pub top: TopPolicy,
    /// By the name of their role: Chief or Master, Worker, PS, Evaluator.
    pub tf_replica_specs: BTreeMap<String, ReplicaSpec>,
}

/// kubeflow.org/v1alpha2.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct V1Alpha2 {
    /// Which pods are deleted when the job is over; those that run, unless given.
    pub clean_pod_policy: Option<CleanPodPolicy>,
    /// By the name of their role: Chief or Master, Worker, PS, Evaluator.
    pub tf_replica_specs: BTreeMap<String, ReplicaSpec>,
}
