//! Values of the jobs service for notebooks.

use schemars::JsonSchema;

use super::common::{Image, Items, Labels, Part};

/// The jobs of notebooks run on the cluster: a service of the Hub, with the operators.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct TrainingService {
    /// Whether it is installed; needs operator.enabled.
    enabled: bool,
    image: Image,
    /// What ranks run in.
    job_image: Image,
    /// Whether functions of notebooks run too, in singleuser.image.
    functions: bool,
    /// The claim that keeps checkpoints of rank 0, with `{username}`; without it they go with the pod.
    claim: String,
    /// A claim for the newest model of each job, and for objects and results of functions; without it they go with the
    /// service's pod.
    models_claim: String,
    /// What each pod of a job is to have beside, as a pod's spec.
    pod: Part,
    /// What its container is to have beside.
    container: Part,
    quotas: TrainingQuotas,
    /// Requests and limits of the service's container.
    resources: Part,
    /// Labels that its node must have.
    node_selector: Labels,
    /// Taints of nodes that it tolerates.
    tolerations: Items,
}

/// Of each user, but for modelsBytes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct TrainingQuotas {
    /// Jobs that run at a time.
    running_jobs: u32,
    /// Ranks of one job.
    ranks: u32,
    /// Ranks of all jobs that run.
    running_ranks: u32,
    /// Jobs that are kept, with those that have ended.
    jobs: u32,
    /// The largest model, in bytes.
    model_bytes: u64,
    /// All models together, in bytes; results of functions may take as much.
    models_bytes: u64,
    /// Models of one user, in bytes; results of the user's functions may take as much.
    user_models_bytes: u64,
    /// Compiled cells of one user's functions, in bytes.
    object_bytes: u64,
}
