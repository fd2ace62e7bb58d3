//! The values of the Helm chart, under the names of Zero to JupyterHub where the thing is the same.
#![allow(dead_code, reason = "only the schema is of use")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// A part of a Kubernetes object, which the API server checks, or of the Hub's configuration.
type Part = Map<String, Value>;
type Labels = BTreeMap<String, String>;

/// Values of the chart.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Values {
    /// Begins the names of all objects; the release's name, if it is empty.
    fullname_override: String,
    /// Names of the secrets with which the Hub's image and those of servers are pulled.
    image_pull_secrets: Vec<String>,
    hub: Hub,
    proxy: Proxy,
    singleuser: Singleuser,
    cull: Cull,
    rbac: Rbac,
    ingress: Ingress,
    http_route: HttpRoute,
    pre_puller: PrePuller,
    /// Of Helm itself, for charts of charts.
    global: Option<Part>,
}

/// The Hub with its proxy, one pod.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hub {
    /// Sections of the Hub's configuration; they win over what other values give.
    config: Part,
    /// Path under which the Hub and all servers lie, from / to /.
    base_url: BaseUrl,
    /// How many servers may be starting at a time; more starts wait in a queue. Any number without it.
    concurrent_spawn_limit: Option<u32>,
    /// How many servers may be active; more starts are refused. Any number without it.
    active_server_limit: Option<u32>,
    /// Addresses and networks of what stands before the Hub, whose X-Forwarded headers are believed.
    trusted_proxies: Vec<String>,
    image: Image,
    db: Db,
    /// Requests and limits of the container.
    resources: Part,
    /// Security context of the pod.
    pod_security_context: Part,
    /// Security context of the container.
    container_security_context: Part,
    /// Further labels of the pod.
    labels: Labels,
    /// Further annotations of the pod.
    annotations: Labels,
    /// Environment variables of the Hub.
    extra_env: Labels,
    /// Labels that the node must have.
    node_selector: Labels,
    /// Taints of nodes that the pod tolerates.
    tolerations: Vec<Part>,
    /// Priority class of the pod.
    priority_class_name: String,
    pdb: Pdb,
    network_policy: NetworkPolicy,
}

/// An image and when it is pulled.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Image {
    /// Name without the tag.
    name: String,
    /// Tag; the chart's application version, if it is empty.
    tag: String,
    /// When a node pulls the image anew.
    pull_policy: PullPolicy,
}

/// Where users, sessions and servers are written down.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Db {
    /// A SQLite file on a claim, one that goes with the pod, or a PostgreSQL server.
    r#type: DbType,
    /// Address of the PostgreSQL server, with user and password.
    url: String,
    pvc: Claim,
}

/// The claim of the SQLite file; it stays when the release is removed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Claim {
    /// Access modes.
    access_modes: Vec<String>,
    /// Size.
    storage: String,
    /// Storage class; the cluster's default one without it.
    storage_class_name: Option<String>,
    /// Which volumes the claim may bind.
    selector: Part,
    /// Annotations.
    annotations: Labels,
}

/// Disruption budget of the Hub's pod.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pdb {
    /// Whether there is one.
    enabled: bool,
    /// Pods that a drain may take at once; if it is given, minAvailable does not count.
    max_unavailable: Option<u32>,
    /// Pods that a drain must leave.
    min_available: Option<u32>,
}

/// What may reach the pods, and what they may reach.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether there is one.
    enabled: bool,
    /// Further rules for who reaches them.
    ingress: Vec<Part>,
    /// Further rules for what they reach.
    egress: Vec<Part>,
    egress_allow_rules: EgressAllowRules,
}

/// Rules by name.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct EgressAllowRules {
    /// Name servers, wherever they are.
    dns: bool,
    /// The internet.
    #[schemars(rename = "nonPrivateIPs")]
    non_private_ips: bool,
    /// Addresses of private networks: other pods, Services, and mostly the API server.
    #[schemars(rename = "privateIPs")]
    private_ips: bool,
    /// The server at which clouds give credentials to nodes.
    cloud_metadata_server: bool,
}

/// The way in.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Proxy {
    service: Service,
}

/// The Service for people outside the cluster.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Service {
    /// NodePort, LoadBalancer, or ClusterIP for none.
    r#type: ServiceType,
    node_ports: NodePorts,
    /// Networks that a load balancer lets in.
    load_balancer_source_ranges: Vec<String>,
    /// Labels.
    labels: Labels,
    /// Annotations.
    annotations: Labels,
}

/// Ports of the nodes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodePorts {
    /// For HTTP; the cluster chooses one without it.
    http: Option<u16>,
}

/// Users' servers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Singleuser {
    image: Image,
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
    /// Environment variables: texts, or mappings with valueFrom.
    extra_env: Part,
    /// Further labels of the pods.
    extra_labels: Labels,
    /// Further annotations of the pods.
    extra_annotations: Labels,
    /// Labels that the node must have.
    node_selector: Labels,
    /// Taints of nodes that the pods tolerate.
    extra_tolerations: Vec<Part>,
    /// Priority class of the pods.
    priority_class_name: String,
    /// Service account of the pods; with one, its token is mounted.
    service_account_name: Option<String>,
    /// Containers that run before the server.
    init_containers: Vec<Part>,
    /// Containers beside the server.
    extra_containers: Vec<Part>,
    /// postStart and preStop of Kubernetes.
    lifecycle_hooks: Option<Part>,
    /// Further fields of the pods' spec.
    extra_pod_config: Part,
    /// Show Kubernetes' events to those who wait for a start.
    events: bool,
    storage: Storage,
    /// Kinds of servers that users choose from, as KubeSpawner.profile_list.
    profile_list: Vec<Part>,
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
    /// Size of a claim.
    capacity: String,
    /// Where it is mounted.
    home_mount_path: String,
    /// Further volumes of the pods.
    extra_volumes: Vec<Part>,
    /// Where the server's container mounts them.
    extra_volume_mounts: Vec<Part>,
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
}

/// Stopping servers that nobody uses, as the Hub's `IdleCuller`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Cull {
    /// Whether idle servers are stopped.
    enabled: bool,
    /// Seconds after which a server is idle.
    timeout: u32,
    /// Seconds between two looks.
    every: u32,
    /// How many servers are looked at, and stopped, at once.
    concurrency: u32,
    /// Seconds after which a server is stopped even if it is in use; 0 for never.
    max_age: u32,
    /// Delete a named server when it is stopped for being idle.
    remove_named_servers: bool,
    /// Delete users who have not been here for IdleCuller.users_timeout; their files stay.
    users: bool,
    /// Delete administrators too.
    admin_users: bool,
}

/// Rights of the Hub.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rbac {
    /// Make the Role that the Hub needs, and bind it.
    create: bool,
}

/// An Ingress for the Hub.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ingress {
    /// Whether there is one.
    enabled: bool,
    /// Annotations.
    annotations: Labels,
    /// Class; the cluster's default one without it.
    ingress_class_name: Option<String>,
    /// Host names; any without them.
    hosts: Vec<String>,
    /// How the path is compared.
    path_type: PathType,
    /// Host names and the secret with their certificate.
    tls: Vec<Part>,
}

/// An HTTPRoute of the Gateway API for the Hub.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct HttpRoute {
    /// Whether there is one.
    enabled: bool,
    /// Annotations.
    annotations: Labels,
    /// Host names; any without them.
    hostnames: Vec<String>,
    /// Gateways that it hangs on.
    parent_refs: Vec<Part>,
}

/// Pulling the images of servers before somebody waits for them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct PrePuller {
    hook: Hook,
    continuous: Continuous,
    /// Images beside those of singleuser.image and singleuser.profileList.
    extra_images: Vec<String>,
}

/// Before an installation or upgrade.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hook {
    /// Whether it waits for that.
    enabled: bool,
    /// How many nodes pull; each needs a place for one pod.
    nodes: u32,
}

/// On every node, new ones too.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Continuous {
    /// Whether there is a DaemonSet for that.
    enabled: bool,
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

/// A path that begins and ends with a slash.
#[derive(JsonSchema)]
pub struct BaseUrl(#[schemars(regex(pattern = "^/(.*/)?$"))] String);

#[derive(JsonSchema)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum DbType {
    SqlitePvc,
    SqliteMemory,
    Postgres,
}

#[derive(JsonSchema)]
pub enum ServiceType {
    ClusterIP,
    NodePort,
    LoadBalancer,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum StorageType {
    Dynamic,
    Static,
    None,
}

#[derive(JsonSchema)]
pub enum PathType {
    Exact,
    Prefix,
    ImplementationSpecific,
}
