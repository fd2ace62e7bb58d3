//! Runtimes: what nodes of TrainJobs are made of, for a namespace or for all.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::kind::TRAINER_GROUP;
use crate::schema;
use crate::spec::MOST_REPLICAS;

/// The job of a runtime's template whose pods train, and their container.
pub const NODE: &str = "node";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For all namespaces.
    Cluster,
    /// For its own.
    Namespaced,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Cluster, Self::Namespaced];

    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "ClusterTrainingRuntime",
            Self::Namespaced => "TrainingRuntime",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::Cluster => "clustertrainingruntimes",
            Self::Namespaced => "trainingruntimes",
        }
    }

    pub fn singular(self) -> &'static str {
        match self {
            Self::Cluster => "clustertrainingruntime",
            Self::Namespaced => "trainingruntime",
        }
    }

    pub fn short(self) -> &'static str {
        match self {
            Self::Cluster => "ctr",
            Self::Namespaced => "tr",
        }
    }

    pub fn scope(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Namespaced => "Namespaced",
        }
    }

    /// The name of the definition.
    pub fn definition(self) -> String {
        format!("{}.{TRAINER_GROUP}", self.plural())
    }
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    pub ml_policy: Option<MlPolicy>,
    /// For schedulers that start all pods or none, where the operator knows of one (--gang-scheduler).
    pub pod_group_policy: Option<PodGroupPolicy>,
    /// A JobSet (jobset.x-k8s.io/v1alpha2). Pods are made of its job `node`.
    #[schemars(schema_with = "schema::template")]
    pub template: Map<String, Value>,
}

/// One of them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PodGroupPolicy {
    pub coscheduling: Option<Coscheduling>,
    pub volcano: Option<Volcano>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Coscheduling {
    /// How long the scheduler tries to place all pods; 60 unless given.
    pub schedule_timeout_seconds: Option<i32>,
}

/// Its queue is the annotation `scheduling.volcano.sh/queue-name` of the template, its priority that of the pods.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Volcano {
    /// As Volcano reads it.
    #[schemars(schema_with = "schema::template")]
    pub network_topology: Option<Map<String, Value>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct MlPolicy {
    /// How many pods a job has that does not say so; 1 unless given.
    #[schemars(range(min = 1, max = MOST_REPLICAS))]
    pub num_nodes: Option<i32>,
    /// Nodes find what torchrun reads in their environment.
    pub torch: Option<Torch>,
    /// Refused by this operator, as are the three below.
    #[schemars(schema_with = "schema::template")]
    pub mpi: Option<Map<String, Value>>,
    #[schemars(schema_with = "schema::template")]
    pub flux: Option<Map<String, Value>>,
    #[schemars(schema_with = "schema::template")]
    pub jax: Option<Map<String, Value>>,
    #[schemars(schema_with = "schema::template")]
    pub xgboost: Option<Map<String, Value>>,
}

impl MlPolicy {
    /// The policies that this operator does not know how to follow.
    pub fn unknown(&self) -> Vec<&'static str> {
        let all = [
            ("mpi", &self.mpi),
            ("flux", &self.flux),
            ("jax", &self.jax),
            ("xgboost", &self.xgboost),
        ];
        let given = all.into_iter().filter(|(_, policy)| policy.is_some());
        given.map(|(name, _)| name).collect()
    }
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Torch {
    pub env_injection: Option<EnvInjection>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvInjection {
    /// Containers that get the variables beside that which trains.
    pub targets: Vec<Target>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Target {
    pub job_name: String,
    pub container_names: Vec<String>,
}
