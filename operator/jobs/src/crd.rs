//! The definitions of the kinds for a cluster (`CustomResourceDefinition`), made of the types.

use serde_json::{Value, json};

use crate::kind::{Kind, TRAINER_GROUP, Version};
use crate::status::{self, JobStatus};
use crate::{pytorchjob, schema, tfjob, trainjob};

/// The Service that converts, before there is one: until the operator has put its own in this place, a job in another
/// version than the stored one is refused at once. Without a webhook it would lose what the stored shape lacks, and nobody
/// would be told.
const NOT_READY: &str = "the-operator-is-not-ready";

/// All that a cluster needs to know of `kind`: its definition, and those of runtimes.
pub fn definitions(kind: Kind) -> Vec<Value> {
    let mut all = vec![definition(kind)];
    if kind == Kind::TrainJob {
        all.extend(trainjob::runtime::Kind::ALL.map(runtime));
    }
    all
}

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
            "group": kind.group(),
            "names": {
                "kind": kind.name(),
                "listKind": format!("{kind}List"),
                "plural": kind.plural(),
                "shortNames": [kind.short()],
                "singular": kind.singular(),
            },
            "scope": "Namespaced",
            "versions": versions,
            "conversion": conversion(kind),
        },
    })
}

fn conversion(kind: Kind) -> Value {
    if !kind.converts() {
        return json!({ "strategy": "None" });
    }
    json!({
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
    })
}

/// The definition of a kind of runtimes.
fn runtime(kind: trainjob::runtime::Kind) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": kind.definition() },
        "spec": {
            "group": TRAINER_GROUP,
            "names": {
                "kind": kind.name(),
                "listKind": format!("{}List", kind.name()),
                "plural": kind.plural(),
                "shortNames": [kind.short()],
                "singular": kind.singular(),
            },
            "scope": kind.scope(),
            "versions": [{
                "name": Version::V1Alpha1.name(),
                "served": true,
                "storage": true,
                "schema": { "openAPIV3Schema": object(json!({
                    "spec": schema::of::<trainjob::runtime::Spec>(),
                })) },
                "additionalPrinterColumns": [
                    {
                        "name": "Nodes",
                        "type": "integer",
                        "jsonPath": ".spec.mlPolicy.numNodes",
                    },
                    age(),
                ],
            }],
            "conversion": { "strategy": "None" },
        },
    })
}

/// The schema of an object with these fields beside those that all have.
fn object(fields: Value) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
        },
    });
    if let (Some(all), Value::Object(fields)) = (schema["properties"].as_object_mut(), fields) {
        all.extend(fields);
    }
    schema
}

fn age() -> Value {
    json!({ "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" })
}

fn version(kind: Kind, version: Version) -> Value {
    let is_stored = version == kind.stored();
    let mut subresources = json!({ "status": {} });
    if is_stored && kind != Kind::TrainJob {
        subresources["scale"] = json!({
            "specReplicasPath": format!(".spec.{}.Worker.replicas", kind.replicas_field()),
            "statusReplicasPath": ".status.replicaStatuses.Worker.active",
            "labelSelectorPath": ".status.replicaStatuses.Worker.selector",
        });
    }
    let mut schema = object(json!({
        "spec": spec(kind, version),
        "status": status(kind, version),
    }));
    if kind == Kind::TrainJob {
        // Pods and the service are named after it.
        schema["x-kubernetes-validations"] = json!([{
            "rule": "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",
            "message": "metadata.name must begin with a lower case letter, have only such, digits and -, and 63 of them \
                        at most",
        }]);
    }
    json!({
        "name": version.name(),
        "served": true,
        "storage": is_stored,
        "schema": { "openAPIV3Schema": schema },
        "subresources": subresources,
        "additionalPrinterColumns": columns(kind),
    })
}

fn columns(kind: Kind) -> Vec<Value> {
    let text = |name: &str, path: &str| json!({ "name": name, "type": "string", "jsonPath": path });
    let mut columns = vec![text("State", ".status.state")];
    if kind == Kind::TrainJob {
        columns.push(json!({
            "name": "Nodes", "type": "integer", "jsonPath": ".status.nodes.total",
        }));
        columns.push(progress());
    }
    columns.push(age());
    let metric = |name: &str| format!(".status.trainerStatus.metrics[?(@.name==\"{name}\")].value");
    let mut wide = vec![
        text("Epoch", &metric("epoch")),
        text("Loss", &metric("loss")),
        text("Reason", ".status.reason"),
    ];
    if kind != Kind::TrainJob {
        // Most jobs of these kinds report nothing.
        wide.insert(0, progress());
    }
    for column in &mut wide {
        column["priority"] = json!(1);
    }
    columns.extend(wide);
    columns
}

fn progress() -> Value {
    json!({
        "name": "Progress",
        "type": "integer",
        "jsonPath": ".status.trainerStatus.progressPercentage",
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
        (Kind::TrainJob, _) => with_defaults(schema::of::<trainjob::Spec>()),
    }
}

/// What the API server writes into jobs that say nothing, so that it cannot change either.
fn with_defaults(mut schema: Value) -> Value {
    let kind = trainjob::runtime::Kind::Cluster.name();
    for (field, default) in [
        (
            "/properties/runtimeRef/properties/apiGroup",
            json!(TRAINER_GROUP),
        ),
        ("/properties/runtimeRef/properties/kind", json!(kind)),
        ("/properties/managedBy", json!(Kind::TrainJob.manager())),
        ("/properties/suspend", json!(false)),
    ] {
        if let Some(Value::Object(field)) = schema.pointer_mut(field) {
            field.remove("nullable");
            field.insert("default".to_owned(), default);
        }
    }
    schema
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
        (Kind::TrainJob, _) => schema::of::<trainjob::status::Status>(),
        _ => schema::of::<JobStatus>(),
    }
}
