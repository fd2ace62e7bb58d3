//! The definitions for a cluster.

use carrel_jobs::crd::{definition, definitions};
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
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "nullable",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
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
    for kind in [Kind::TfJob, Kind::PyTorchJob] {
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
                assert!(!column["jsonPath"].as_str().unwrap().contains("[*]"));
            }
        }
    }
}

#[test]
fn trainjobs_and_runtimes_are_structural() {
    let all = definitions(Kind::TrainJob);
    let names: Vec<_> = all
        .iter()
        .map(|one| one["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "trainjobs.trainer.kubeflow.org",
            "clustertrainingruntimes.trainer.kubeflow.org",
            "trainingruntimes.trainer.kubeflow.org"
        ]
    );
    for definition in &all {
        let version = &definition["spec"]["versions"][0];
        structural(names[0], &version["schema"]["openAPIV3Schema"]);
        assert_eq!(definition["spec"]["conversion"]["strategy"], "None");
    }
    let spec = &all[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let fields = &spec["properties"];
    assert_eq!(spec["required"], serde_json::json!(["runtimeRef"]));
    for field in [
        "runtimeRef",
        "initializer",
        "trainer",
        "activeDeadlineSeconds",
        "managedBy",
    ] {
        let rules = fields[field]["x-kubernetes-validations"].to_string();
        assert!(rules.contains("self == oldSelf"), "{field}: {rules}");
    }
    // Two managers that apply their own patches do not take each other's away.
    let patches = &fields["runtimePatches"];
    assert_eq!(patches["x-kubernetes-list-type"], "map");
    let keys = serde_json::json!(["manager"]);
    assert_eq!(patches["x-kubernetes-list-map-keys"], keys);
    assert_eq!(patches["items"]["required"], keys);
    assert_eq!(patches["maxItems"], 16);
    assert_eq!(fields["trainer"]["properties"]["numNodes"]["minimum"], 1);
    assert_eq!(
        fields["managedBy"]["default"],
        "trainer.kubeflow.org/trainjob-controller"
    );
    let columns = &all[0]["spec"]["versions"][0]["additionalPrinterColumns"];
    assert_eq!(columns[0]["jsonPath"], ".status.state");
}

/// A job of a manager that nobody knows would stand there for ever, and nobody would say why.
#[test]
fn managers_are_known_and_stay() {
    for kind in [Kind::TfJob, Kind::PyTorchJob] {
        let definition = definition(kind);
        let versions = definition["spec"]["versions"].as_array().unwrap();
        let schema = &versions.last().unwrap()["schema"]["openAPIV3Schema"];
        let policy = &schema["properties"]["spec"]["properties"]["runPolicy"]["properties"];
        let rules = policy["managedBy"]["x-kubernetes-validations"].as_array();
        let rules: Vec<_> = rules.into_iter().flatten().collect();
        let text = |one: usize| rules[one]["rule"].as_str().unwrap();
        assert!(
            text(0).contains(kind.manager()) && text(0).contains("multikueue"),
            "{rules:?}"
        );
        assert_eq!(text(1), "self == oldSelf");
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
