//! Jobs from YAML.

use carrel_jobs::convert::convert;
use carrel_jobs::job::{Identity, Invalid, Job};
use carrel_jobs::kind::Kind;
use carrel_jobs::original::ANNOTATION;
use carrel_jobs::read::read;
use serde_json::{Value, json};

pub const EXAMPLE: &str = include_str!("../../../tests/walkthrough/example.yaml");
pub const PYTORCH_EXAMPLE: &str = include_str!("../../../tests/walkthrough/pytorch_example.yaml");

pub const UID: &str = "0d5b7c3e-0000-4000-8000-000000000001";

pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// The job as the operator reads it: stored as v1, in the namespace `default`.
pub fn job(object: &Value) -> Result<Job, Invalid> {
    let stored = convert(object, "kubeflow.org/v1").unwrap();
    let kind = Kind::from_name(stored["kind"].as_str().unwrap()).unwrap();
    let identity = Identity {
        name: stored["metadata"]["name"].as_str().unwrap(),
        namespace: "default",
        uid: UID,
        original: stored["metadata"]["annotations"][ANNOTATION].as_str(),
    };
    read(kind, &identity, &stored["spec"])
}

/// What is said about a job that is wrong.
pub fn mistakes(object: &Value) -> String {
    job(object).unwrap_err().to_string()
}

pub fn replica(container: &str, replicas: i32) -> Value {
    json!({
        "replicas": replicas,
        "template": { "spec": { "containers": [{ "name": container, "image": "i" }] } },
    })
}

/// A TFJob of a version with replicas of these roles.
pub fn tf(version: &str, roles: &[(&str, i32)]) -> Value {
    let replicas = roles
        .iter()
        .map(|(role, count)| ((*role).to_owned(), replica("tensorflow", *count)));
    json!({
        "apiVersion": format!("kubeflow.org/{version}"),
        "kind": "TFJob",
        "metadata": { "name": "job" },
        "spec": { "tfReplicaSpecs": replicas.collect::<serde_json::Map<_, _>>() },
    })
}

/// A PyTorchJob of v1 or a beta.
pub fn pytorch(version: &str, roles: &[(&str, i32)]) -> Value {
    let replicas = roles
        .iter()
        .map(|(role, count)| ((*role).to_owned(), replica("pytorch", *count)));
    json!({
        "apiVersion": format!("kubeflow.org/{version}"),
        "kind": "PyTorchJob",
        "metadata": { "name": "job" },
        "spec": { "pytorchReplicaSpecs": replicas.collect::<serde_json::Map<_, _>>() },
    })
}
