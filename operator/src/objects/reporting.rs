//! What pods need to report: an address, whom to believe about it, and a token that counts there only. Those of TrainJobs
//! have it, those of the other kinds where their template asks.

use carrel_jobs::environment::is_for;
use carrel_jobs::job::Job;
use carrel_jobs::kind::Kind;
use carrel_jobs::template::{object, set_variables};
use serde_json::{Map, Value, json};

use crate::reports::{Reporting, audience};

const FOLDER: &str = "/var/run/secrets/kubeflow/trainer";
const VOLUME: &str = "kubeflow-trainer-token";
/// Holds whom to believe, so that it needs no object of its own in the namespace.
const AUTHORITIES: &str = "carrel.dev/trainer-authorities";
/// With `true` in a template it asks for this.
const ASKS: &str = "carrel.dev/reports";
/// How long a token counts; its node renews it.
const SECONDS: u32 = 3600;

/// Adds it to a pod of `job` that is to have it, once there is a certificate.
pub fn add(pod: &mut Value, job: &Job, to: &Reporting) {
    let asks = pod["metadata"]["annotations"][ASKS] == "true";
    if job.kind != Kind::TrainJob && !asks {
        return;
    }
    let (Some(authorities), Value::Object(pod)) = (to.authorities(), pod) else {
        return;
    };
    let annotations = object(object(pod, "metadata"), "annotations");
    annotations.insert(AUTHORITIES.to_owned(), json!(authorities));
    let variables = [
        ("KUBEFLOW_TRAINER_SERVER_URL", to.url_of(job)),
        (
            "KUBEFLOW_TRAINER_SERVER_CA_CERT",
            format!("{FOLDER}/ca.crt"),
        ),
        ("KUBEFLOW_TRAINER_SERVER_TOKEN", format!("{FOLDER}/token")),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let spec = object(pod, "spec");
    let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        if !is_for(job, container) {
            continue;
        }
        set_variables(container, &variables);
        if let Value::Object(container) = container {
            let mount = json!({ "name": VOLUME, "mountPath": FOLDER, "readOnly": true });
            push(container, "volumeMounts", mount);
        }
    }
    let volume = json!({
        "name": VOLUME,
        "projected": { "sources": [
            { "serviceAccountToken": {
                "audience": audience(job.kind, &job.namespace, &job.name),
                "expirationSeconds": SECONDS,
                "path": "token",
            } },
            { "downwardAPI": { "items": [{
                "path": "ca.crt",
                "fieldRef": { "fieldPath": format!("metadata.annotations['{AUTHORITIES}']") },
            }] } },
        ] },
    });
    push(spec, "volumes", volume);
}

fn push(parent: &mut Map<String, Value>, field: &str, item: Value) {
    let list = parent.entry(field).or_insert_with(|| json!([]));
    if let Value::Array(list) = list {
        list.push(item);
    }
}
