//! Jobs as YAML: what people write, what they are shown, and what they may change.

use kube::api::DynamicObject;
use serde_json::Value;

use super::kind::{JobKind, Served as _};
use super::mistake::Mistake;

/// A job that somebody has written, in the version in which they wrote it.
#[derive(Debug)]
pub struct Written {
    pub kind: JobKind,
    pub version: String,
    pub object: DynamicObject,
}

/// # Errors
/// With what is wrong with it, and where.
pub fn read(text: &str, namespace: &str) -> Result<Written, Mistake> {
    let value: Value = serde_saphyr::from_str(text)
        .map_err(|error| Mistake::at("", format!("This is no YAML: {error}")))?;
    of_value(value, namespace)
}

/// As [`read`], of what is no text any more.
pub fn of_value(mut value: Value, namespace: &str) -> Result<Written, Mistake> {
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let Some((kind, version)) = JobKind::of_object(&api_version, &kind) else {
        let path = if api_version.is_empty() {
            "apiVersion"
        } else {
            "kind"
        };
        return Err(Mistake::at(
            path,
            format!("{kind:?} of {api_version:?} is no kind of job that is known here."),
        ));
    };
    let version = version.to_owned();
    if !value["metadata"].is_object() {
        return Err(Mistake::at("metadata", "A job needs a name."));
    }
    if !value["metadata"]["namespace"].is_string() {
        value["metadata"]["namespace"] = Value::from(namespace);
    }
    let object: DynamicObject = serde_json::from_value(value)
        .map_err(|error| Mistake::at("metadata", error.to_string()))?;
    if object
        .metadata
        .name
        .as_deref()
        .unwrap_or_default()
        .is_empty()
    {
        return Err(Mistake::at("metadata.name", "A job needs a name."));
    }
    if object.metadata.namespace.as_deref() == Some("") {
        return Err(Mistake::at(
            "metadata.namespace",
            "A job needs a namespace.",
        ));
    }
    Ok(Written {
        kind,
        version,
        object,
    })
}

/// All of a job, but who has managed which field.
pub fn shown(object: &DynamicObject) -> String {
    text(object.clone())
}

/// What may be changed, with the version by which the API server sees that somebody else was faster.
pub fn editable(object: &DynamicObject) -> String {
    let mut object = object.clone();
    object.metadata.creation_timestamp = None;
    object.metadata.generation = None;
    if let Value::Object(fields) = &mut object.data {
        fields.remove("status");
    }
    text(object)
}

fn text(mut object: DynamicObject) -> String {
    object.metadata.managed_fields = None;
    let written = serde_json::to_value(&object)
        .map_err(|error| error.to_string())
        .and_then(|value| serde_saphyr::to_string(&value).map_err(|error| error.to_string()));
    written.unwrap_or_else(|error| format!("# {error}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "apiVersion: kubeflow.org/v1alpha2\nkind: TFJob\nmetadata: {name: job}\nspec: {tfReplicaSpecs: {}}\n";

    #[test]
    fn a_job_is_read_in_the_version_that_it_is_written_in() {
        let written = read(JOB, "lab").unwrap();
        assert_eq!(
            (written.kind.name(), written.version.as_str()),
            ("TFJob", "v1alpha2")
        );
        assert_eq!(written.object.metadata.namespace.as_deref(), Some("lab"));
        let own = read(
            &JOB.replace("name: job", "name: job, namespace: own"),
            "lab",
        )
        .unwrap();
        assert_eq!(own.object.metadata.namespace.as_deref(), Some("own"));
    }

    #[test]
    fn what_is_no_job_is_named() {
        for (text, path) in [
            ("a: [", ""),
            ("- 1", "apiVersion"),
            ("", "apiVersion"),
            ("apiVersion: v1\nkind: Pod", "kind"),
            ("apiVersion: kubeflow.org/v1\nkind: TFJob", "metadata"),
            (
                "apiVersion: kubeflow.org/v1\nkind: TFJob\nmetadata: {}",
                "metadata.name",
            ),
            (
                "apiVersion: kubeflow.org/v1\nkind: TFJob\nmetadata: {name: 1}",
                "metadata",
            ),
        ] {
            assert_eq!(read(text, "lab").unwrap_err().path, path, "{text}");
        }
    }

    #[test]
    fn what_is_shown_leaves_out_what_nobody_reads() {
        let object: DynamicObject = serde_json::from_value(serde_json::json!({
            "apiVersion": "kubeflow.org/v1", "kind": "TFJob",
            "metadata": { "name": "job", "resourceVersion": "7", "managedFields": [{ "manager": "kubectl" }] },
            "spec": { "a": 1 }, "status": { "state": "Running" },
        }))
        .unwrap();
        let all = shown(&object);
        assert!(
            all.contains("Running") && !all.contains("managedFields"),
            "{all}"
        );
        let part = editable(&object);
        assert!(
            part.contains("resourceVersion") && !part.contains("status"),
            "{part}"
        );
        assert_eq!(read(&part, "lab").unwrap().object.data["spec"]["a"], 1);
    }
}
