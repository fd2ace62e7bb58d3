//! The specs of PyTorchJob in its versions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::schema;
use crate::spec::{MOST_REPLICAS, ReplicaSpec, RunPolicy, Template, TopPolicy};

/// kubeflow.org/v1, the version that is stored.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct V1 {
    pub run_policy: Option<RunPolicy>,
    #[serde(flatten)]
    pub top: TopPolicy,
    /// By the name of their role: Master and Worker.
    pub pytorch_replica_specs: BTreeMap<String, ReplicaSpec>,
    /// For a job whose number of workers changes while it runs.
    pub elastic_policy: Option<ElasticPolicy>,
    /// Processes in each pod: auto, cpu, gpu or a number.
    #[schemars(schema_with = "schema::int_or_string")]
    pub nproc_per_node: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ElasticPolicy {
    pub min_replicas: Option<i32>,
    pub max_replicas: Option<i32>,
    pub rdzv_backend: Option<RdzvBackend>,
    pub rdzv_port: Option<i32>,
    pub rdzv_host: Option<String>,
    pub rdzv_id: Option<String>,
    pub rdzv_conf: Option<Vec<RdzvConf>>,
    pub standalone: Option<bool>,
    pub n_proc_per_node: Option<i32>,
    pub max_restarts: Option<i32>,
    /// As in a HorizontalPodAutoscaler.
    #[schemars(schema_with = "schema::objects")]
    pub metrics: Option<Vec<Value>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
pub enum RdzvBackend {
    #[serde(rename = "c10d")]
    C10d,
    #[serde(rename = "etcd")]
    Etcd,
    #[serde(rename = "etcd-v2")]
    EtcdV2,
}

impl RdzvBackend {
    pub fn name(self) -> &'static str {
        match self {
            Self::C10d => "c10d",
            Self::Etcd => "etcd",
            Self::EtcdV2 => "etcd-v2",
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default)]
pub struct RdzvConf {
    pub key: Option<String>,
    pub value: Option<String>,
}

/// kubeflow.org/v1beta1 and v1beta2.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct V1Beta {
    #[serde(flatten)]
    pub top: TopPolicy,
    /// By the name of their role: Master and Worker.
    pub pytorch_replica_specs: BTreeMap<String, ReplicaSpec>,
}

/// kubeflow.org/v1alpha1. `backend` and the spec's own `masterPort` are in no type of the time, but in its examples.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct V1Alpha1 {
    /// Four characters in the names of pods and services; made by the operator.
    #[serde(rename = "RuntimeId")]
    pub runtime_id: Option<String>,
    pub replica_specs: Option<Vec<ReplicaSpecV1Alpha1>>,
    /// Without effect.
    pub pytorch_image: Option<String>,
    pub termination_policy: Option<TerminationPolicy>,
    /// The scheduler of all pods.
    pub scheduler_name: Option<String>,
    /// Without effect: the container chooses its backend.
    pub backend: Option<String>,
    /// Without effect, as it always was; `masterPort` of the MASTER counts.
    #[schemars(schema_with = "schema::int_or_string")]
    pub master_port: Option<Value>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSpecV1Alpha1 {
    /// How many; 1 unless given.
    #[schemars(range(min = 0, max = MOST_REPLICAS))]
    pub replicas: Option<i32>,
    /// The pod of each.
    #[schemars(schema_with = "schema::template")]
    pub template: Option<Template>,
    /// Where the MASTER listens; 23456 unless given.
    #[schemars(schema_with = "schema::int_or_string")]
    pub master_port: Option<Value>,
    /// MASTER, unless given, or WORKER.
    pub replica_type: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct TerminationPolicy {
    pub master: Option<MasterPolicy>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct MasterPolicy {
    /// MASTER: nothing else is known.
    pub replica_name: Option<String>,
    /// 0: nothing else is known.
    pub replica_rank: Option<i32>,
}

/// A port, as a number or as text.
pub fn port(value: &Value) -> Option<i32> {
    let port = match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64().and_then(|number| i32::try_from(number).ok()),
    };
    port.filter(|port| (1..=65535).contains(port))
}
