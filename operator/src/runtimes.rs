//! The runtimes that come with the operator: what TrainJobs find on a cluster where nobody has made any.

use carrel_jobs::kind::{Kind, TRAINER_GROUP};
use carrel_jobs::trainjob::runtime::{self, NODE};
use serde_json::{Value, json};

/// Of Kubeflow Trainer 2.3.
const TORCH_IMAGE: &str = "pytorch/pytorch:2.13.0-cuda13.0-cudnn9-runtime";
const CARREL_IMAGE: &str = concat!("localhost/carrel-training:", env!("CARGO_PKG_VERSION"));

/// All of them, for all namespaces.
pub fn all() -> [Value; 2] {
    [
        runtime("carrel-train", carrel()),
        runtime(
            "torch-distributed",
            json!({ "containers": [{ "name": NODE, "image": TORCH_IMAGE }] }),
        ),
    ]
}

/// [`all`], for `kubectl apply`.
///
/// # Errors
/// When they cannot be written as YAML.
pub fn yaml() -> anyhow::Result<String> {
    let mut text = "# Written by `carrel-operator runtimes`.\n".to_owned();
    for mut runtime in all() {
        runtime.sort_all_objects();
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&runtime)?);
    }
    Ok(text)
}

fn runtime(name: &str, pod: Value) -> Value {
    json!({
        "apiVersion": Kind::TrainJob.api_version(),
        "kind": runtime::Kind::Cluster.name(),
        "metadata": {
            "name": name,
            // The SDK lists no runtime without it, and runs functions of Python by torchrun where it says torch.
            "labels": { format!("{TRAINER_GROUP}/framework"): "torch" },
        },
        "spec": {
            "mlPolicy": { "numNodes": 1, "torch": {} },
            "template": { "spec": { "replicatedJobs": [{
                "name": NODE,
                "template": {
                    "metadata": {
                        "labels": { format!("{TRAINER_GROUP}/trainjob-ancestor-step"): "trainer" },
                    },
                    "spec": { "template": { "spec": pod } },
                },
            }] } },
        },
    })
}

/// One rank on each node. Which recipe it is says the job: `trainer.args`.
fn carrel() -> Value {
    let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
    json!({
        "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
        "containers": [{
            "name": NODE,
            "image": CARREL_IMAGE,
            "args": ["smoke"],
            "env": [
                variable("RANK", "$(PET_NODE_RANK)"),
                variable("WORLD_SIZE", "$(PET_NNODES)"),
                variable("MASTER_ADDR", "$(PET_MASTER_ADDR)"),
                variable("MASTER_PORT", "$(PET_MASTER_PORT)"),
            ],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
        }],
    })
}
