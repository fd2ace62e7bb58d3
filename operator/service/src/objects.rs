//! The objects of a job on the cluster, as JSON: made of plain data, without asking anybody.

use carrel_report::{
    ATTEMPT_VARIABLE, JOB_VARIABLE, MODEL_URL_VARIABLE, OBJECTS_URL_VARIABLE, RESULT_URL_VARIABLE,
    SECRET_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE, Work,
};
use carrel_spawner::kube::slug::safe_label;
use carrel_spawner::kube::template::{Fields, SlugScheme};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::keys::Keys;
use crate::options::Options;
use crate::record::{ATTEMPT_LABEL, ID_LABEL, MANAGED_BY, Record, SERVICE, USER_LABEL};

/// The kind of object that the operator runs.
pub const API_VERSION: &str = "kubeflow.org/v1";
pub const KIND: &str = "PyTorchJob";
/// The container that trains, as the operator calls it.
pub const CONTAINER: &str = "pytorch";
/// Where a rank finds its job: what `carrel-train run` is given.
const FOLDER: &str = "/job";
/// In a claim, which holds a user's home.
const IN_CLAIM: &str = ".carrel/jobs";
/// The user and group of the images of this project.
const USER: u64 = 1000;
/// In the folder of a job: what a function needs to be loaded.
const OBJECTS: &str = "objects";
/// Of the Secret.
const DESCRIPTION: &str = "job.json";

/// What all jobs have.
#[derive(Clone)]
pub struct Settings {
    pub image: String,
    /// For functions; None where there are none.
    pub function_image: Option<String>,
    pub function_program: String,
    pub url: String,
    pub claim: Option<String>,
    pub keeps_models: bool,
    pub extra: Extra,
    pub keys: Keys,
}

/// What the configuration adds to each pod and its container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Extra {
    pub pod: Map<String, Value>,
    pub container: Map<String, Value>,
}

impl Settings {
    pub fn new(options: &Options, extra: Extra, keys: Keys) -> Self {
        Self {
            image: options.image.clone(),
            function_image: options
                .function_image
                .clone()
                .filter(|image| !image.is_empty()),
            function_program: options.function_program.clone(),
            url: options.url.trim_end_matches('/').to_owned(),
            claim: options.claim.clone().filter(|claim| !claim.is_empty()),
            keeps_models: options.models.is_some(),
            extra,
            keys,
        }
    }
}

/// The ConfigMap that is the job.
pub fn record(record: &Record) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": record.id,
            "labels": labels(record),
            "annotations": { USER_LABEL: record.kept.user },
        },
        "data": record.data(),
    })
}

/// What the ranks read, and what only they know.
pub fn secret(record: &Record, settings: &Settings) -> Value {
    let description = serde_json::to_string(&record.kept.description).unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": record.id,
            "labels": labels(record),
            "ownerReferences": owner(record),
        },
        "immutable": true,
        "stringData": {
            DESCRIPTION: description,
            SECRET_VARIABLE: settings.keys.secret(&record.id),
            TOKEN_VARIABLE: settings.keys.token(&record.id),
        },
    })
}

/// What the operator runs: one attempt of the job. It is started again by nobody but its user, and its pods stay for
/// their logs.
pub fn job(record: &Record, settings: &Settings) -> Value {
    let replica = |count: usize, is_first: bool| {
        json!({
            "replicas": count,
            "restartPolicy": "Never",
            "template": {
                "metadata": { "labels": labels_of_attempt(record), "annotations": reports(is_first) },
                "spec": pod(record, settings, is_first),
            },
        })
    };
    let mut replicas = json!({ "Master": replica(1, true) });
    if record.ranks.len() > 1 {
        replicas["Worker"] = replica(record.ranks.len() - 1, false);
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": record.object(),
            "labels": labels_of_attempt(record),
            "ownerReferences": owner(record),
        },
        "spec": {
            "runPolicy": { "cleanPodPolicy": "None" },
            "pytorchReplicaSpecs": replicas,
        },
    })
}

/// The first rank reports progress to the operator too, for who looks at the cluster.
fn reports(is_first: bool) -> Value {
    match is_first {
        true => json!({ "carrel.dev/reports": "true" }),
        false => json!({}),
    }
}

fn labels(record: &Record) -> Map<String, Value> {
    let labels = [
        (MANAGED_BY, SERVICE.to_owned()),
        (ID_LABEL, record.id.clone()),
        (USER_LABEL, safe_label(&record.kept.user)),
    ];
    let labels = labels.into_iter();
    labels
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect()
}

fn labels_of_attempt(record: &Record) -> Map<String, Value> {
    let mut labels = labels(record);
    let attempt = record.kept.attempt.to_string();
    labels.insert(ATTEMPT_LABEL.to_owned(), json!(attempt));
    labels
}

fn owner(record: &Record) -> Value {
    json!([{
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": record.id,
        "uid": record.uid,
    }])
}

fn pod(record: &Record, settings: &Settings, is_first: bool) -> Value {
    let mut pod = settings.extra.pod.clone();
    pod.insert("automountServiceAccountToken".to_owned(), json!(false));
    pod.insert("enableServiceLinks".to_owned(), json!(false));
    let security = pod.entry("securityContext").or_insert_with(|| json!({}));
    for (field, value) in [("runAsUser", USER), ("runAsGroup", USER), ("fsGroup", USER)] {
        set_default(security, field, json!(value));
    }
    set_default(
        security,
        "seccompProfile",
        json!({ "type": "RuntimeDefault" }),
    );
    security["runAsNonRoot"] = json!(true);
    let claim = settings.claim.as_ref().filter(|_| is_first);
    let folder = match claim {
        Some(claim) => {
            let fields = Fields::new(SlugScheme::Safe, &record.kept.user, "", "");
            json!({ "name": "job", "persistentVolumeClaim": { "claimName": fields.name(claim) } })
        }
        None => json!({ "name": "job", "emptyDir": {} }),
    };
    let items = json!([{ "key": DESCRIPTION, "path": DESCRIPTION }]);
    let description = json!({ "secretName": record.id, "items": items });
    append(&mut pod, "volumes", folder);
    append(
        &mut pod,
        "volumes",
        json!({ "name": "description", "secret": description }),
    );
    if is_function(record) {
        append(
            &mut pod,
            "volumes",
            json!({ "name": OBJECTS, "emptyDir": {} }),
        );
    }
    let container = container(record, settings, is_first);
    pod.insert("containers".to_owned(), json!([container]));
    Value::Object(pod)
}

fn container(record: &Record, settings: &Settings, is_first: bool) -> Value {
    let mut container = settings.extra.container.clone();
    container.insert("name".to_owned(), json!(CONTAINER));
    let image = settings
        .function_image
        .as_ref()
        .filter(|_| is_function(record));
    container.insert("image".to_owned(), json!(image.unwrap_or(&settings.image)));
    let command = match is_function(record) {
        true => json!([settings.function_program, "run-function", FOLDER]),
        false => json!(["carrel-train", "run", FOLDER]),
    };
    container.insert("command".to_owned(), command);
    container.insert(
        "securityContext".to_owned(),
        json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } }),
    );
    let mut folder = json!({ "name": "job", "mountPath": FOLDER });
    if is_first && settings.claim.is_some() {
        folder["subPath"] = json!(format!("{IN_CLAIM}/{}", record.id));
    }
    append(&mut container, "volumeMounts", folder);
    append(
        &mut container,
        "volumeMounts",
        json!({
            "name": "description",
            "mountPath": format!("{FOLDER}/{DESCRIPTION}"),
            "subPath": DESCRIPTION,
            "readOnly": true,
        }),
    );
    if is_function(record) {
        let path = format!("{FOLDER}/{OBJECTS}");
        append(
            &mut container,
            "volumeMounts",
            json!({ "name": OBJECTS, "mountPath": path }),
        );
    }
    for variable in variables(record, settings, is_first) {
        append(&mut container, "env", variable);
    }
    Value::Object(container)
}

fn variables(record: &Record, settings: &Settings, is_first: bool) -> Vec<Value> {
    let job = format!("{}/api/v1/jobs/{}", settings.url, record.id);
    let plain = |name: &str, value: String| json!({ "name": name, "value": value });
    let secret = |name: &str| {
        let reference = json!({ "name": record.id, "key": name });
        json!({ "name": name, "valueFrom": { "secretKeyRef": reference } })
    };
    let mut variables = vec![
        plain(JOB_VARIABLE, record.id.clone()),
        plain(ATTEMPT_VARIABLE, record.kept.attempt.to_string()),
        plain(URL_VARIABLE, format!("{job}/ranks/{{rank}}/status")),
        secret(SECRET_VARIABLE),
        secret(TOKEN_VARIABLE),
    ];
    if is_function(record) {
        let attempt = record.kept.attempt;
        let result = format!("{job}/ranks/{{rank}}/result?attempt={attempt}");
        variables.push(plain(OBJECTS_URL_VARIABLE, format!("{job}/objects")));
        variables.push(plain(RESULT_URL_VARIABLE, result));
    }
    if is_first && settings.keeps_models {
        variables.push(plain(
            MODEL_URL_VARIABLE,
            format!("{job}/model?attempt={}", record.kept.attempt),
        ));
    }
    variables
}

fn is_function(record: &Record) -> bool {
    matches!(record.kept.description.work, Work::Function(_))
}

fn set_default(object: &mut Value, field: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.entry(field).or_insert(value);
    }
}

fn append(object: &mut Map<String, Value>, field: &str, item: Value) {
    let list = object.entry(field).or_insert_with(|| json!([]));
    if let Value::Array(items) = list {
        items.push(item);
    }
}
