//! Values of users' servers.

use schemars::JsonSchema;

use super::common::{Environment, Files, Image, Items, Labels, NetworkPolicy, Part};

/// Users' servers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Singleuser {
    image: Image,
    /// Without effect.
    image_pull_secret: Part,
    /// Names of the pods, as KubeSpawner.pod_name_template.
    pod_name_template: String,
    /// Arguments of the image's entry point; the image's own command without it.
    cmd: Option<Command>,
    /// Page of the server that a user sees first.
    default_url: String,
    /// Seconds until a start that goes nowhere is given up.
    start_timeout: u32,
    /// User ID of the server; the image's own without it.
    uid: Option<i64>,
    /// Group to which volumes belong.
    fs_gid: Option<i64>,
    cpu: Cpu,
    memory: Memory,
    extra_resource: ExtraResource,
    /// Environment variables.
    extra_env: Environment,
    /// Files in the pods.
    extra_files: Files,
    /// Further labels of the pods.
    extra_labels: Labels,
    /// Further annotations of the pods.
    extra_annotations: Labels,
    /// Labels that the node must have.
    node_selector: Labels,
    /// Taints of nodes that the pods tolerate.
    extra_tolerations: Items,
    /// Further terms for nodes.
    extra_node_affinity: Affinity,
    /// Pods to be near.
    extra_pod_affinity: Affinity,
    /// Pods to be away from.
    extra_pod_anti_affinity: Affinity,
    /// Let a program gain more rights than the one that started it.
    allow_privilege_escalation: bool,
    cloud_metadata: CloudMetadata,
    network_tools: NetworkTools,
    /// Priority class of the pods.
    priority_class_name: String,
    /// Service account of the pods; with one, its token is mounted.
    service_account_name: Option<String>,
    /// Containers that run before the server.
    init_containers: Items,
    /// Containers beside the server.
    extra_containers: Items,
    /// postStart and preStop of Kubernetes.
    lifecycle_hooks: Option<Part>,
    /// Further fields of the pods' spec.
    extra_pod_config: Part,
    /// Show Kubernetes' events to those who wait for a start.
    events: bool,
    storage: Storage,
    /// Kinds of servers that users choose from, as KubeSpawner.profile_list.
    profile_list: Items,
    network_policy: NetworkPolicy,
}

/// Cores of a server.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Cpu {
    /// Most cores that it may use, such as 0.5 or 500m.
    limit: Option<Amount>,
    /// Cores that it has for sure.
    guarantee: Option<Amount>,
}

/// Memory of a server.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Memory {
    /// Most memory that it may use, such as 2G.
    limit: Option<Amount>,
    /// Memory that it has for sure.
    guarantee: Option<Amount>,
}

/// Other resources of a server, such as nvidia.com/gpu.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct ExtraResource {
    /// Limits.
    limits: Part,
    /// Requests.
    guarantees: Part,
}

/// Where users' files lie.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Storage {
    /// A claim for each server, one claim for all, or none: then files go with the pod.
    r#type: StorageType,
    /// Further labels of claims.
    extra_labels: Labels,
    /// Size of a claim.
    capacity: String,
    /// Where it is mounted.
    home_mount_path: String,
    /// Further volumes of the pods.
    extra_volumes: Items,
    /// Where the server's container mounts them.
    extra_volume_mounts: Items,
    r#static: StaticStorage,
    dynamic: DynamicStorage,
}

/// The one claim of all servers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct StaticStorage {
    /// Its name.
    pvc_name: String,
    /// Folder in it of one server.
    sub_path: String,
}

/// The claim of each server.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct DynamicStorage {
    /// Storage class; the cluster's default one without it.
    storage_class: Option<String>,
    /// Name of the claim.
    pvc_name_template: String,
    /// Access modes.
    storage_access_modes: Vec<String>,
    /// Folder in it that is mounted.
    sub_path: String,
    /// Without effect.
    volume_name_template: String,
}

/// A program, or a list: the program and its arguments.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Command {
    Program(String),
    Words(Vec<String>),
}

/// A number, or a text with one and its unit: `0.5`, `500m`, `2G`.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Amount {
    Number(f64),
    WithUnit(String),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum StorageType {
    Dynamic,
    Static,
    None,
}

/// Terms of Kubernetes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Affinity {
    /// Those that must hold.
    required: Items,
    /// Those that are better.
    preferred: Items,
}

/// The server at which clouds give credentials to nodes; singleuser.networkPolicy keeps servers from it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct CloudMetadata {
    /// Whether a privileged container does so too, before each server, for clusters without network policies.
    block_with_iptables: bool,
    /// Its address.
    ip: String,
    /// Without effect.
    enabled: bool,
}

/// What singleuser.cloudMetadata.blockWithIptables runs.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkTools {
    image: Image,
    /// Without effect.
    resources: Part,
}
