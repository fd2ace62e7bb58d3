//! The definitions for a cluster.

use carrel_jobs::crd::definition;
use carrel_jobs::kind::Kind;
use serde_json::Value;

/// What Kubernetes asks of a structural schema, in all that these hold.
fn structural(at: &str, schema: &Value) {
    let fields = schema.as_object().unwrap();
    let known = [
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "maximum",
        "minimum",
        "nullable",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
    ];
    for field in fields.keys() {
        assert!(known.contains(&field.as_str()), "{at}: {field}");
    }
    let is_typed = schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true;
    assert!(is_typed, "{at}: {schema}");
    let formats = [
        Value::Null,
        "int32".into(),
        "int64".into(),
        "date-time".into(),
    ];
    assert!(formats.contains(&schema["format"]), "{at}: {schema}");
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        structural(&format!("{at}.{name}"), inner);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get(inner) {
            structural(&format!("{at}[]"), inner);
        }
    }
}

#[test]
fn schemas_are_structural_and_keep_templates_whole() {
    for kind in Kind::ALL {
        let definition = definition(kind);
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let stored = versions.iter().filter(|one| one["storage"] == true);
        let stored: Vec<_> = stored.map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(stored, ["v1"]);
        for version in versions {
            let schema = &version["schema"]["openAPIV3Schema"];
            structural(&format!("{kind} {}", version["name"]), schema);
            let spec = &schema["properties"]["spec"]["properties"];
            let replicas = match spec.get("replicaSpecs") {
                Some(list) => &list["items"],
                None => &spec[kind.replicas_field()]["additionalProperties"],
            };
            let template = &replicas["properties"]["template"];
            assert_eq!(template["x-kubernetes-preserve-unknown-fields"], true);
            let columns = version["additionalPrinterColumns"].as_array().unwrap();
            for column in columns {
                // A path with `[*]` shows the first element only.
                assert!(!column["jsonPath"].as_str().unwrap().contains('['));
            }
        }
    }
}

/// All fields that jobs of the time have are there.
#[test]
fn every_version_has_its_fields() {
    let fields = |kind: Kind, version: usize| {
        let definition = definition(kind);
        let schema = &definition["spec"]["versions"][version]["schema"]["openAPIV3Schema"];
        let spec = &schema["properties"]["spec"]["properties"];
        // Their order is that of the types or of the alphabet, by a feature of serde_json that other crates may ask for.
        let mut names: Vec<_> = spec.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(fields(Kind::TfJob, 0), "cleanPodPolicy tfReplicaSpecs");
    assert_eq!(
        fields(Kind::TfJob, 1),
        "activeDeadlineSeconds backoffLimit cleanPodPolicy tfReplicaSpecs ttlSecondsAfterFinished"
    );
    assert_eq!(
        fields(Kind::TfJob, 3),
        "activeDeadlineSeconds backoffLimit cleanPodPolicy enableDynamicWorker runPolicy successPolicy tfReplicaSpecs \
         ttlSecondsAfterFinished"
    );
    assert_eq!(
        fields(Kind::PyTorchJob, 0),
        "RuntimeId backend masterPort pytorchImage replicaSpecs schedulerName terminationPolicy"
    );
    assert_eq!(
        fields(Kind::PyTorchJob, 3),
        "activeDeadlineSeconds backoffLimit cleanPodPolicy elasticPolicy nprocPerNode pytorchReplicaSpecs runPolicy \
         ttlSecondsAfterFinished"
    );
}
