//! TrainJob of trainer.kubeflow.org/v1alpha1, as Kubeflow Trainer 2.3 has it: a job says what to train with and on how many
//! nodes, and takes all else from a runtime.

mod group;
mod merge;
pub mod patch;
mod read;
pub mod resources;
pub mod runtime;
pub mod status;

use patch::RuntimePatch;
pub use read::read;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::kind::TRAINER_GROUP;
use crate::schema;
use crate::spec::MOST_REPLICAS;

/// What the API server says about a change of a field that must not change.
const IMMUTABLE: &str = "field is immutable";

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// The runtime, which says how nodes are made.
    #[schemars(extend("x-kubernetes-validations" = immutable()))]
    pub runtime_ref: RuntimeRef,
    /// What is fetched before the training begins. This operator refuses it.
    #[schemars(extend("x-kubernetes-validations" = immutable()))]
    pub initializer: Option<Initializer>,
    /// What trains.
    #[schemars(extend("x-kubernetes-validations" = immutable()))]
    pub trainer: Option<Trainer>,
    /// Changes of the runtime for this job alone, each of somebody.
    #[serde(default)]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["manager"])
    )]
    pub runtime_patches: Vec<RuntimePatch>,
    /// No pods while this is true.
    pub suspend: Option<bool>,
    /// Seconds that the job may run, from its start or its last resumption.
    #[schemars(range(min = 1), extend("x-kubernetes-validations" = immutable()))]
    pub active_deadline_seconds: Option<i64>,
    /// Who runs the job: trainer.kubeflow.org/trainjob-controller, or kueue.x-k8s.io/multikueue.
    #[schemars(length(max = 253), extend("x-kubernetes-validations" = managers()))]
    pub managed_by: Option<String>,
}

fn immutable() -> Value {
    serde_json::json!([{ "rule": "self == oldSelf", "message": IMMUTABLE }])
}

fn managers() -> Value {
    serde_json::json!([
        {
            "rule": "self in ['trainer.kubeflow.org/trainjob-controller', 'kueue.x-k8s.io/multikueue']",
            "message": "it must be trainer.kubeflow.org/trainjob-controller or kueue.x-k8s.io/multikueue",
        },
        { "rule": "self == oldSelf", "message": IMMUTABLE },
    ])
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeRef {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// trainer.kubeflow.org
    #[schemars(length(max = 253))]
    pub api_group: Option<String>,
    /// ClusterTrainingRuntime, or TrainingRuntime of the job's namespace.
    #[schemars(length(max = 253))]
    pub kind: Option<String>,
}

impl RuntimeRef {
    /// The kind of runtime that a job asks for.
    ///
    /// # Errors
    /// When there is none of that kind, in words for who wrote the job.
    pub fn kind(&self) -> Result<runtime::Kind, String> {
        let group = self.api_group.as_deref().unwrap_or(TRAINER_GROUP);
        if group != TRAINER_GROUP {
            return Err(format!(
                "spec.runtimeRef.apiGroup: {group:?} is not {TRAINER_GROUP}"
            ));
        }
        let kind = self.kind.as_deref();
        let Some(kind) = kind else {
            return Ok(runtime::Kind::Cluster);
        };
        let mut kinds = runtime::Kind::ALL.into_iter();
        let found = kinds.find(|known| known.name() == kind);
        found.ok_or_else(|| {
            format!(
                "spec.runtimeRef.kind: {kind:?} is neither ClusterTrainingRuntime nor TrainingRuntime"
            )
        })
    }
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Initializer {
    pub dataset: Option<Source>,
    pub model: Option<Source>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Source {
    #[schemars(length(max = 2048))]
    pub storage_uri: Option<String>,
    #[schemars(schema_with = "schema::variables")]
    pub env: Vec<Value>,
    pub secret_ref: Option<SecretRef>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SecretRef {
    pub name: String,
}

/// Takes the place of what the runtime says of its container `node`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Trainer {
    #[schemars(length(max = 500))]
    pub image: Option<String>,
    #[schemars(length(max = 128))]
    pub command: Option<Vec<String>>,
    #[schemars(length(max = 128))]
    pub args: Option<Vec<String>>,
    /// Beside those of the runtime.
    #[schemars(schema_with = "schema::variables")]
    pub env: Vec<Value>,
    /// How many pods; as many as the runtime says, unless given.
    #[schemars(range(min = 1, max = MOST_REPLICAS))]
    pub num_nodes: Option<i32>,
    /// What each pod needs, beside what the runtime says.
    pub resources_per_node: Option<Resources>,
    /// Processes in each pod; one for each GPU or else for each CPU, unless given.
    #[schemars(range(min = 1))]
    pub num_proc_per_node: Option<i32>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Resources {
    #[schemars(schema_with = "schema::quantities")]
    pub limits: Map<String, Value>,
    #[schemars(schema_with = "schema::quantities")]
    pub requests: Map<String, Value>,
}
