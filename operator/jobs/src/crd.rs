//! The definitions of the kinds for a cluster (`CustomResourceDefinition`), made of the types.

use serde_json::{Value, json};

use crate::kind::{GROUP, Kind, Version};
use crate::status::{self, JobStatus};
use crate::{pytorchjob, schema, tfjob};

/// The Service that converts, before there is one: until the operator has put its own in this place, a job in another
/// version than the stored one is refused at once. Without a webhook it would lose what the stored shape lacks, and nobody
/// would be told.
const NOT_READY: &str = "the-operator-is-not-ready";

/// The definition of `kind`, without the address of the webhook that converts.
pub fn definition(kind: Kind) -> Value {
    let versions: Vec<_> = kind
        .versions()
        .iter()
        .map(|version| self::version(kind, *version))
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": kind.definition() },
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name(),
                "listKind": format!("{kind}List"),
                "plural": kind.plural(),
                "shortNames": [kind.short()],
                "singular": kind.singular(),
            },
            "scope": "Namespaced",
            "versions": versions,
            "conversion": {
                "strategy": "Webhook",
                "webhook": {
                    "conversionReviewVersions": ["v1"],
                    "clientConfig": { "service": {
                        "name": NOT_READY,
                        "namespace": "default",
                        "path": "/convert",
                        "port": 443,
                    } },
                },
            },
        },
    })
}

fn version(kind: Kind, version: Version) -> Value {
    let is_stored = version == Version::V1;
    let mut subresources = json!({ "status": {} });
    if is_stored {
        subresources["scale"] = json!({
            "specReplicasPath": format!(".spec.{}.Worker.replicas", kind.replicas_field()),
            "statusReplicasPath": ".status.replicaStatuses.Worker.active",
            "labelSelectorPath": ".status.replicaStatuses.Worker.selector",
        });
    }
    json!({
        "name": version.name(),
        "served": true,
        "storage": is_stored,
        "schema": { "openAPIV3Schema": {
            "type": "object",
            "required": ["spec"],
            "properties": {
                "apiVersion": { "type": "string" },
                "kind": { "type": "string" },
                "metadata": { "type": "object" },
                "spec": spec(kind, version),
                "status": status(kind, version),
            },
        } },
        "subresources": subresources,
        "additionalPrinterColumns": [
            { "name": "State", "type": "string", "jsonPath": ".status.state" },
            { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
            {
                "name": "Reason",
                "type": "string",
                "jsonPath": ".status.reason",
                "priority": 1,
            },
        ],
    })
}

fn spec(kind: Kind, version: Version) -> Value {
    match (kind, version) {
        (Kind::TfJob, Version::V1) => with_run_policy(schema::of::<tfjob::V1>()),
        (Kind::TfJob, Version::V1Alpha2) => schema::of::<tfjob::V1Alpha2>(),
        (Kind::TfJob, _) => schema::of::<tfjob::V1Beta>(),
        (Kind::PyTorchJob, Version::V1) => with_run_policy(schema::of::<pytorchjob::V1>()),
        (Kind::PyTorchJob, Version::V1Alpha1) => schema::of::<pytorchjob::V1Alpha1>(),
        (Kind::PyTorchJob, _) => schema::of::<pytorchjob::V1Beta>(),
    }
}

/// The Python SDK refuses jobs without `runPolicy`, and all that are listed with one.
fn with_run_policy(mut schema: Value) -> Value {
    if let Some(policy) = schema["properties"]["runPolicy"].as_object_mut() {
        policy.remove("nullable");
        policy.insert("default".to_owned(), json!({}));
    }
    schema
}

fn status(kind: Kind, version: Version) -> Value {
    match (kind, version) {
        (Kind::TfJob, Version::V1Alpha2) => {
            let mut schema = schema::of::<status::V1Alpha2>();
            // Under its other name there.
            if let Some(fields) = schema["properties"].as_object_mut() {
                fields.remove("replicaStatuses");
            }
            schema
        }
        (Kind::PyTorchJob, Version::V1Alpha1) => schema::of::<status::V1Alpha1>(),
        _ => schema::of::<JobStatus>(),
    }
}
