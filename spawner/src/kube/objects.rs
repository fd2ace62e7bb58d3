//! Pods, claims and secrets as documents, made of options alone: nothing here talks to a cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::environment;
use super::merge::{merge, strategic_merge};
use super::options::KubeOptions;
use super::overrides;
use super::plan::Plan;
use super::slug::safe_label;
use crate::StartRequest;

/// Name of the container that is the server.
pub const CONTAINER: &str = "notebook";
/// Label of every pod of a server, and of nothing else.
pub const COMPONENT: &str = "component";
pub const SERVER: &str = "singleuser-server";
/// Annotations with the names of an object's user and server, letter for letter.
pub const USERNAME: &str = "hub.jupyter.org/username";
pub const SERVERNAME: &str = "hub.jupyter.org/servername";
/// Annotation of the pod with the name of the server's claim, by which it is known where nothing else is.
pub(super) const CLAIM: &str = "carrel/claim";
const STORAGE: &str = "singleuser-storage";
/// Label with the name of the start that made a pod: the Hub wrote it down before.
pub const START_ID: &str = "carrel/start-id";
/// KubeSpawner's name for what it wrote; its contract is that of this version.
const KUBESPAWNER_VERSION: &str = "7.1";

/// The pod of a server.
pub fn pod(plan: &Plan<'_>) -> Result<Pod, crate::Error> {
    let options = plan.options;
    let mut annotations = options.extra_annotations.clone();
    annotations.insert(
        String::from("hub.jupyter.org/kubespawner-version"),
        KUBESPAWNER_VERSION.to_owned(),
    );
    let mut labels = labels(plan, SERVER);
    labels.extend(options.extra_labels.clone());
    labels.insert(START_ID.to_owned(), plan.request.start_id.clone());
    let mut spec = pod_spec(options);
    spec["containers"] = containers(plan)?;
    strategic_merge(&mut spec, &options.extra_pod_config.0);
    let document = json!({
        "metadata": {
            "name": plan.names.pod,
            "namespace": plan.names.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    });
    let mut document = plan.fields.expand_json(&document);
    // What the Hub says is nobody's template.
    let annotations = &mut document["metadata"]["annotations"];
    merge(annotations, &identity(plan.request));
    merge(annotations, &json!({ CLAIM: plan.names.pvc }));
    let hub = environment::of_hub(plan);
    let container = &mut document["spec"]["containers"][0];
    container["env"] = environment::sorted(container["env"].take(), hub);
    let pod = overrides::patch(
        typed("pod", document)?,
        &options.pod_patches,
        &plan.request.groups,
    );
    pod.map_err(|mistake| crate::Error::Start(format!("KubeSpawner: {mistake}")))
}

/// The claim that keeps a server's files; it belongs to nobody, so that it outlives pods and the Hub.
pub fn pvc(plan: &Plan<'_>) -> Result<PersistentVolumeClaim, crate::Error> {
    let options = plan.options;
    let mut labels = labels(plan, STORAGE);
    labels.extend(options.storage_extra_labels.clone());
    let document = json!({
        "metadata": {
            "name": plan.names.pvc,
            "namespace": plan.names.namespace,
            "labels": labels,
            "annotations": options.storage_extra_annotations,
        },
        "spec": without_null(json!({
            "accessModes": options.storage_access_modes,
            "resources": { "requests": { "storage": options.storage_capacity } },
            "storageClassName": options.storage_class,
            "selector": options.storage_selector,
        })),
    });
    let mut document = plan.fields.expand_json(&document);
    merge(
        &mut document["metadata"]["annotations"],
        &identity(plan.request),
    );
    typed("claim", document)
}

/// The server's tokens. It belongs to the pod and goes with it; whoever may only look at pods does not see them.
pub fn secret(plan: &Plan<'_>, pod_uid: &str) -> Secret {
    let mut secret = Secret {
        string_data: Some(environment::secrets(plan.request)),
        immutable: Some(true),
        type_: Some(String::from("Opaque")),
        ..Secret::default()
    };
    secret.metadata.name = Some(plan.names.secret.clone());
    secret.metadata.namespace = Some(plan.names.namespace.clone());
    secret.metadata.labels = Some(labels(plan, SERVER));
    secret.metadata.owner_references = Some(vec![OwnerReference {
        api_version: String::from("v1"),
        kind: String::from("Pod"),
        name: plan.names.pod.clone(),
        uid: pod_uid.to_owned(),
        ..OwnerReference::default()
    }]);
    secret
}

fn labels(plan: &Plan<'_>, component: &str) -> BTreeMap<String, String> {
    let request = plan.request;
    let own = [
        (COMPONENT, component.to_owned()),
        ("app.kubernetes.io/component", component.to_owned()),
        (USERNAME, safe_label(&request.user)),
        (SERVERNAME, safe_label(&request.server)),
    ];
    let mut labels = plan.options.common_labels.clone();
    labels.extend(own.map(|(name, value)| (name.to_owned(), value)));
    labels
}

/// Whose server it is, letter for letter.
fn identity(request: &StartRequest) -> Value {
    json!({
        USERNAME: request.user,
        SERVERNAME: request.server,
    })
}

fn pod_spec(options: &KubeOptions) -> Value {
    let token = options.automount_service_account_token;
    let secrets: Vec<_> = options
        .image_pull_secrets
        .iter()
        .map(|name| json!({ "name": name }))
        .collect();
    without_null(json!({
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": token.unwrap_or(options.service_account.is_some()),
        "serviceAccountName": options.service_account,
        // Services of the namespace as variables: what does not exist in JupyterHub's contract only leaks names.
        "enableServiceLinks": false,
        "imagePullSecrets": secrets,
        "volumes": options.volumes.items(),
        "initContainers": options.init_containers.items(),
        "securityContext": pod_security(options),
        "nodeSelector": options.node_selector,
        "tolerations": options.tolerations,
        "affinity": affinity(options),
        "schedulerName": options.scheduler_name,
        "priorityClassName": options.priority_class_name,
    }))
}

fn pod_security(options: &KubeOptions) -> Value {
    let mut context = json!({
        "fsGroup": options.fs_gid,
        "supplementalGroups": options.supplemental_gids,
    });
    merge(&mut context, &options.pod_security_context.0);
    context
}

fn affinity(options: &KubeOptions) -> Value {
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let terms = &options.node_affinity_required;
    let node = (!terms.is_empty()).then(|| json!({ "nodeSelectorTerms": terms }));
    json!({
        "nodeAffinity": { PREFERRED: options.node_affinity_preferred, REQUIRED: node },
        "podAffinity": {
            PREFERRED: options.pod_affinity_preferred,
            REQUIRED: options.pod_affinity_required,
        },
        "podAntiAffinity": {
            PREFERRED: options.pod_anti_affinity_preferred,
            REQUIRED: options.pod_anti_affinity_required,
        },
    })
}

/// The server's container, then those beside it.
fn containers(plan: &Plan<'_>) -> Result<Value, crate::Error> {
    let options = plan.options;
    let command = options.cmd.as_ref();
    let words = command.map(|cmd| [cmd.0.as_slice(), options.args.as_slice()].concat());
    let mut server = without_null(json!({
        "name": CONTAINER,
        "image": options.image,
        "imagePullPolicy": options.image_pull_policy,
        "args": words,
        "workingDir": options.working_dir,
        "ports": [{ "name": "notebook-port", "containerPort": options.port }],
        "env": environment::of_options(options),
        "lifecycle": options.lifecycle_hooks,
        "resources": resources(options),
        "securityContext": container_security(options),
        "volumeMounts": options.volume_mounts.items(),
    }));
    strategic_merge(&mut server, &options.extra_container_config.0);
    let mut containers = vec![server];
    for container in options.extra_containers.items() {
        containers.push(serde_json::to_value(container).map_err(not_a("container"))?);
    }
    Ok(Value::Array(containers))
}

fn resources(options: &KubeOptions) -> Value {
    let with = |cpu: Option<super::values::Cpu>,
                memory: Option<super::values::Memory>,
                others: &BTreeMap<_, _>| {
        let mut amounts = others.clone();
        amounts.extend(cpu.map(|cpu| (String::from("cpu"), cpu.quantity())));
        amounts.extend(memory.map(|memory| (String::from("memory"), memory.quantity())));
        amounts
    };
    json!({
        "limits": with(options.cpu_limit, options.mem_limit, &options.extra_resource_limits),
        "requests": with(options.cpu_guarantee, options.mem_guarantee, &options.extra_resource_guarantees),
    })
}

/// The "restricted" standard of Kubernetes' pod security, as far as the options do not say otherwise.
fn container_security(options: &KubeOptions) -> Value {
    let root = options.uid == Some(0) || options.privileged;
    let mut context = json!({
        "runAsUser": options.uid,
        "runAsGroup": options.gid,
        "runAsNonRoot": (!root).then_some(true),
        "privileged": options.privileged.then_some(true),
        // A privileged container may do so anyway, and Kubernetes refuses the contradiction.
        "allowPrivilegeEscalation": options.allow_privilege_escalation || options.privileged,
        "capabilities": (!options.privileged).then(|| json!({ "drop": ["ALL"] })),
        "seccompProfile": (!options.privileged).then(|| json!({ "type": "RuntimeDefault" })),
    });
    strategic_merge(&mut context, &options.container_security_context.0);
    context
}

/// Leaves out what was not given, and what is then empty.
fn without_null(value: Value) -> Value {
    let Value::Object(entries) = value else {
        return value;
    };
    let entries = entries
        .into_iter()
        .map(|(key, value)| (key, without_null(value)));
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    };
    Value::Object(
        entries
            .filter(|(_, value)| !empty(value))
            .collect::<Map<_, _>>(),
    )
}

fn typed<T: DeserializeOwned>(what: &'static str, document: Value) -> Result<T, crate::Error> {
    serde_json::from_value(document).map_err(not_a(what))
}

fn not_a(what: &'static str) -> impl FnOnce(serde_json::Error) -> crate::Error {
    move |error| crate::Error::Start(format!("KubeSpawner's options make no {what}: {error}"))
}
