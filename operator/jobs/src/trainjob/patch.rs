//! What a job may change of its runtime, as `spec.runtimePatches` says it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::merge::merge;
use super::runtime::NODE;
use crate::schema;
use crate::template;

type Object = Map<String, Value>;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuntimePatch {
    /// Whose patch it is, such as kueue.x-k8s.io/manager.
    #[schemars(length(min = 1, max = 253))]
    pub manager: String,
    #[serde(default)]
    #[schemars(schema_with = "schema::time")]
    pub time: Option<String>,
    pub training_runtime_spec: Option<SpecPatch>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SpecPatch {
    pub template: Option<JobSetPatch>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct JobSetPatch {
    /// Without effect: there is no JobSet.
    #[schemars(with = "Option<MetadataPatch>")]
    pub metadata: Option<Object>,
    pub spec: Option<JobSetSpecPatch>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct JobSetSpecPatch {
    pub replicated_jobs: Vec<ReplicatedJobPatch>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ReplicatedJobPatch {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    pub template: Option<JobPatch>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct JobPatch {
    #[schemars(with = "Option<MetadataPatch>")]
    pub metadata: Option<Object>,
    pub spec: Option<JobSpecPatch>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct JobSpecPatch {
    pub template: Option<PodPatch>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PodPatch {
    #[schemars(with = "Option<MetadataPatch>")]
    pub metadata: Option<Object>,
    #[schemars(with = "Option<PodSpecPatch>")]
    pub spec: Option<Object>,
}

/// What may be patched of metadata.
#[derive(Default, JsonSchema)]
#[serde(default)]
pub struct MetadataPatch {
    pub labels: Option<std::collections::BTreeMap<String, String>>,
    pub annotations: Option<std::collections::BTreeMap<String, String>>,
}

/// What may be patched of pods; the API server drops all else.
#[derive(Default, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpecPatch {
    pub service_account_name: Option<String>,
    #[schemars(schema_with = "schema::objects")]
    pub volumes: Vec<Value>,
    pub init_containers: Vec<ContainerPatch>,
    pub containers: Vec<ContainerPatch>,
    #[schemars(schema_with = "schema::objects")]
    pub image_pull_secrets: Vec<Value>,
    #[schemars(schema_with = "schema::template")]
    pub security_context: Option<Object>,
    pub node_selector: Option<std::collections::BTreeMap<String, String>>,
    #[schemars(schema_with = "schema::template")]
    pub affinity: Option<Object>,
    #[schemars(schema_with = "schema::objects")]
    pub tolerations: Vec<Value>,
    #[schemars(schema_with = "schema::objects")]
    pub scheduling_gates: Vec<Value>,
    #[schemars(range(min = 0))]
    pub termination_grace_period_seconds: Option<i64>,
}

#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPatch {
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Not of the container `node`, whose variables are those of `spec.trainer`.
    #[serde(default)]
    #[schemars(schema_with = "schema::variables")]
    pub env: Vec<Value>,
    #[serde(default)]
    #[schemars(schema_with = "schema::objects")]
    pub volume_mounts: Vec<Value>,
    #[serde(default)]
    #[schemars(schema_with = "schema::template")]
    pub security_context: Option<Object>,
}

/// Changes the template of the pods of `node`.
pub(super) fn apply(pod: &mut Object, patches: Vec<RuntimePatch>, mistakes: &mut Vec<String>) {
    for (number, patch) in patches.into_iter().enumerate() {
        let at = format!("spec.runtimePatches[{number}]");
        let jobs = patch.training_runtime_spec.and_then(|spec| spec.template);
        let jobs = jobs.and_then(|template| template.spec).unwrap_or_default();
        for job in jobs.replicated_jobs {
            if job.name != NODE {
                mistakes.push(format!("{at}: the runtime has no job {}", job.name));
                continue;
            }
            let Some(template) = job.template else {
                continue;
            };
            let of_pod = template.spec.and_then(|spec| spec.template);
            let of_pod = of_pod.unwrap_or_default();
            for metadata in [template.metadata, of_pod.metadata].into_iter().flatten() {
                merge(template::object(pod, "metadata"), metadata);
            }
            if let Some(spec) = of_pod.spec {
                check(pod, &spec, &at, mistakes);
                merge(template::object(pod, "spec"), spec);
            }
        }
    }
}

/// Patches change containers that there are, and add none.
fn check(pod: &Object, patch: &Object, at: &str, mistakes: &mut Vec<String>) {
    for field in ["containers", "initContainers"] {
        let there = pod.get("spec").and_then(|spec| spec[field].as_array());
        let patched = patch.get(field).and_then(Value::as_array);
        for container in patched.into_iter().flatten() {
            let name = &container["name"];
            let mut there = there.into_iter().flatten();
            if !there.any(|one| one["name"] == *name) {
                mistakes.push(format!(
                    "{at}: the runtime has no container {name} in {field}"
                ));
            }
            let variables = container["env"].as_array();
            if name == NODE && variables.is_some_and(|variables| !variables.is_empty()) {
                mistakes.push(format!(
                    "{at}: the variables of the container {NODE} are those of spec.trainer.env"
                ));
            }
        }
    }
}
