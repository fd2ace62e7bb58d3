//! What is wrong with a job that somebody writes, and with which of its fields.

use carrel_jobs::job::Identity;
use carrel_jobs::original::ANNOTATION;
use carrel_jobs::read::read;
use kube::api::DynamicObject;
use kube::core::Status;

use super::kind::JobKind;

/// The most that are shown.
const MOST: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// `spec.tfReplicaSpecs.Worker.replicas`; empty where it is none in particular.
    pub path: String,
    pub message: String,
}

impl Mistake {
    pub fn at(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }

    /// `spec.x: what is wrong with it`
    fn from_text(text: &str) -> Self {
        match text.split_once(": ") {
            Some((path, message)) if is_path(path) => Self::at(path, message),
            _ => Self::at("", text),
        }
    }

    /// Whether it is about a field, or about something within it.
    pub fn is_about(&self, path: &str) -> bool {
        let rest = self.path.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

fn is_path(text: &str) -> bool {
    let starts = ["spec", "metadata", "apiVersion", "kind"];
    starts.iter().any(|start| text.starts_with(start)) && !text.contains(' ')
}

/// What the API server holds against an object: its causes by field, or the whole of what it says.
pub fn of_refusal(status: &Status) -> Vec<Mistake> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let mut found: Vec<_> = causes
        .map(|cause| Mistake::at(cause.field.trim_start_matches("<nil>"), &cause.message))
        .collect();
    found.dedup();
    found.truncate(MOST);
    if found.is_empty() {
        found.push(Mistake::at("", &status.message));
    }
    found
}

/// What the operator would hold against a job that the API server takes.
pub fn of_operator(kind: JobKind, object: &DynamicObject) -> Vec<Mistake> {
    if kind == JobKind::TrainJob {
        return Vec::new();
    }
    let metadata = &object.metadata;
    let annotations = metadata.annotations.as_ref();
    let identity = Identity {
        name: metadata.name.as_deref().unwrap_or_default(),
        namespace: metadata.namespace.as_deref().unwrap_or_default(),
        uid: metadata.uid.as_deref().unwrap_or_default(),
        original: annotations
            .and_then(|all| all.get(ANNOTATION))
            .map(String::as_str),
    };
    match read(kind, &identity, &object.data["spec"]) {
        Ok(_) => Vec::new(),
        Err(invalid) => invalid
            .0
            .iter()
            .map(|text| Mistake::from_text(text))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_names_its_fields() {
        let status: Status = serde_json::from_value(json!({
            "status": "Failure", "code": 422, "message": "all of it", "reason": "Invalid",
            "details": { "causes": [{ "reason": "FieldValueInvalid", "field": "spec.tfReplicaSpecs.Worker.replicas",
                "message": "Invalid value: -1" }] },
        }))
        .unwrap();
        let found = of_refusal(&status);
        assert_eq!(
            found,
            [Mistake::at(
                "spec.tfReplicaSpecs.Worker.replicas",
                "Invalid value: -1"
            )]
        );
        assert!(found[0].is_about("spec.tfReplicaSpecs.Worker"));
        assert!(!found[0].is_about("spec.tfReplicaSpecs.Work"));
        let status = Status {
            message: "no".to_owned(),
            ..Status::default()
        };
        assert_eq!(of_refusal(&status), [Mistake::at("", "no")]);
    }

    #[test]
    fn the_operator_s_rules_hold_too() {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": { "name": "Job", "namespace": "lab" },
            "spec": { "pytorchReplicaSpecs": { "Master": { "replicas": 2, "template": {} } } },
        }))
        .unwrap();
        let found = of_operator(JobKind::PyTorchJob, &object);
        let about = |path: &str| found.iter().any(|mistake| mistake.is_about(path));
        assert!(
            about("metadata.name") && about("spec.pytorchReplicaSpecs.Master.replicas"),
            "{found:?}"
        );
        assert!(about("spec.pytorchReplicaSpecs.Master.template"));
        assert_eq!(Mistake::from_text("it is: odd").path, "");
    }
}
