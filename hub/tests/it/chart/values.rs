//! The values of the Helm chart, under the names of Zero to JupyterHub where the thing is the same.
#![allow(dead_code, reason = "only the schema is of use")]

mod common;
mod gateway;
mod inference;
mod scheduling;
mod singleuser;
mod training;
mod usage;

use schemars::JsonSchema;
use serde_json::Value;

use common::{Environment, Files, Image, Items, Labels, NetworkPolicy, Part, Probe};

/// Values of the chart.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Values {
    /// Begins the names of all objects; the release's name, if it is empty.
    fullname_override: String,
    /// The same, where fullnameOverride is empty.
    name_override: String,
    /// Whether a chart that holds this one installs it; Helm itself reads it.
    enabled: bool,
    /// Values for templates and programs of one's own; nothing here reads them.
    custom: Part,
    /// Names of the secrets with which the Hub's image and those of servers are pulled, or mappings with `name`.
    image_pull_secrets: Vec<Value>,
    image_pull_secret: ImagePullSecret,
    hub: Hub,
    proxy: Proxy,
    singleuser: singleuser::Singleuser,
    scheduling: scheduling::Scheduling,
    cull: Cull,
    rbac: Rbac,
    ingress: Ingress,
    http_route: HttpRoute,
    pre_puller: scheduling::PrePuller,
    operator: Operator,
    training_service: training::TrainingService,
    dashboard: Dashboard,
    gateway: gateway::Gateway,
    inference: inference::Inference,
    usage_report: usage::UsageReport,
    debug: Debug,
    /// Refused: it is hub.config.
    auth: Part,
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
    base_url: String,
    /// How many servers may be starting at a time; more starts wait in a queue. Any number without it.
    concurrent_spawn_limit: Option<u32>,
    /// How many servers may be active; more starts are refused. Any number without it.
    active_server_limit: Option<u32>,
    /// How many Hubs serve the site; more than one need hub.db.type postgres.
    replicas: u32,
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
    extra_env: Environment,
    /// Files in the pod.
    extra_files: Files,
    /// Volumes of the pod.
    extra_volumes: Items,
    /// Where the Hub's container mounts them.
    extra_volume_mounts: Items,
    /// Containers that run before the Hub.
    init_containers: Items,
    /// Containers beside the Hub.
    extra_containers: Items,
    /// What the node does after the container's start and before its end.
    lifecycle: Part,
    /// Roles by name, as JupyterHub.load_roles.
    load_roles: ByName,
    /// Services by name, as JupyterHub.services; `apiToken` is `api_token`.
    services: ByName,
    /// Whether users may have further servers, with names.
    allow_named_servers: bool,
    /// How many of them each user may have.
    named_server_limit_per_user: u32,
    /// Whether a user lands in the own server after login.
    redirect_to_server: bool,
    service: HubService,
    /// Refused: Python.
    extra_config: Value,
    /// Refused: it is `custom`.
    extra_config_map: Part,
    /// Refused: the chart makes the Secret.
    existing_secret: String,
    /// Labels that the node must have.
    node_selector: Labels,
    /// Taints of nodes that the pod tolerates.
    tolerations: Items,
    /// Priority class of the pod; that of scheduling.podPriority without it.
    priority_class_name: String,
    pdb: Pdb,
    network_policy: NetworkPolicy,
    #[schemars(flatten)]
    without_effect: HubWithoutEffect,
}

/// What Zero to JupyterHub has besides; see moving.yaml for why.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct HubWithoutEffect {
    command: Value,
    args: Value,
    consecutive_failure_limit: u32,
    cookie_secret: String,
    deployment_strategy: Part,
    revision_history_limit: u32,
    liveness_probe: Probe,
    readiness_probe: Probe,
    service_account: Part,
    extra_pod_spec: Part,
    authenticate_prometheus: bool,
    shutdown_on_logout: bool,
    template_paths: Vec<String>,
    template_vars: Part,
    fs_gid: i64,
    uid: i64,
    #[schemars(rename = "publicURL")]
    public_url: String,
    image_pull_secret: Part,
}

/// The Service within the cluster.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct HubService {
    /// Annotations.
    annotations: Labels,
    /// Without effect.
    r#type: String,
    /// Without effect.
    ports: Part,
    /// Without effect.
    extra_ports: Items,
    /// Without effect.
    #[schemars(rename = "loadBalancerIP")]
    load_balancer_ip: String,
}

/// Items by name; or a list of items that hold it.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ByName {
    Map(std::collections::BTreeMap<String, Option<Part>>),
    List(Vec<Part>),
}

/// An account of a registry, of which a secret is made.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct ImagePullSecret {
    /// Whether it is made.
    create: bool,
    /// Without effect: it is always used.
    automatic_reference_injection: bool,
    /// Address of the registry; Docker Hub without it.
    registry: String,
    /// Name of the account.
    username: String,
    /// Its password.
    password: String,
    /// Its mail address.
    email: String,
}

/// Runs TFJobs, PyTorchJobs and TrainJobs, in all namespaces.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Operator {
    /// Whether it is installed; the definitions of the kinds are in any case.
    enabled: bool,
    /// How many of each there are; one works, the others wait.
    replicas: u32,
    image: Image,
    /// Annotations of the pods.
    annotations: Labels,
    /// Requests and limits of the container.
    resources: Part,
    /// Labels that the node must have.
    node_selector: Labels,
    /// Taints of nodes that the pods tolerate.
    tolerations: Items,
    /// The domain of the cluster's DNS, for names of hosts in TF_CONFIG; those that jobs had upstream without it.
    cluster_domain: String,
    /// Who starts all pods of a job or none: volcano, or a scheduler with the plugin Coscheduling.
    gang_scheduler: String,
    /// Seconds within which pods must start, or their job fails; 0: for ever.
    start_deadline_seconds: u32,
    /// How much of the logs of a job's pods is kept when those are deleted, such as 256Ki; nothing without it.
    #[schemars(regex(pattern = "^([0-9]+(Ki)?)?$"))]
    keep_logs: String,
    network_policy: OperatorPolicy,
    /// Images of the runtimes of TrainJobs, by the name of the runtime, in place of those that come with the chart.
    runtime_images: Labels,
}

/// Who reaches the operators.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct OperatorPolicy {
    /// Whether there is one for each.
    enabled: bool,
    /// From where the API server comes, as rules name peers; without any, from anywhere.
    api_servers: Items,
    /// Other rules of ingress.
    ingress: Items,
}

/// Pages on training jobs and on the cluster, a service of the Hub.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Dashboard {
    /// Whether it is installed.
    enabled: bool,
    /// The NodePort of centraldashboard-katacoda; without one, people come through the Hub alone.
    node_port: Option<u16>,
    /// The path that all its pages are below.
    base_url: String,
    /// Where browsers reach the Hub, if not where they reach this: https://HOST, or :PORT of the same host.
    hub_host: String,
    /// What goes before the Hub's names of users when Kubernetes is asked what they may.
    user_prefix: String,
    /// What goes before the Hub's names of groups.
    group_prefix: String,
    /// Whether all users of the Hub may come; else roles say who.
    everybody: bool,
    /// The address of the Kubernetes dashboard, for a tab that leads there.
    kubernetes_dashboard: String,
    /// Its token at the Hub; without one, one is made.
    api_token: String,
    /// Hours after which a visitor is asked again who they are.
    session_hours: u32,
    image: Image,
    network_policy: NetworkPolicy,
    /// Requests and limits of the container.
    resources: Part,
    /// Labels that the node must have.
    node_selector: Labels,
    /// Taints of nodes that the pod tolerates.
    tolerations: Items,
}

/// For a look inside.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Debug {
    /// Whether the Hub's log tells more.
    enabled: bool,
}

/// Where users, sessions and servers are written down.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Db {
    /// A SQLite file on a claim, one that goes with the pod, or a PostgreSQL server.
    r#type: DbType,
    /// Address of the PostgreSQL server, with user and password.
    url: String,
    /// Password of the PostgreSQL server, in place of one in the address.
    password: String,
    pvc: Claim,
    /// Without effect.
    upgrade: bool,
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
    /// Folder in the volume.
    sub_path: String,
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

/// The way in.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Proxy {
    apart: ProxyApart,
    /// By which proxies apart know the Hub; made once without one.
    secret_token: String,
    service: Service,
    https: Https,
    #[schemars(flatten)]
    without_effect: ProxyWithoutEffect,
}

/// The proxy in pods of its own.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct ProxyApart {
    /// Whether it is.
    enabled: bool,
    /// How many there are.
    replicas: u32,
    /// Of each container.
    resources: Part,
    /// Labels of the pods.
    labels: Labels,
    /// Annotations of the pods.
    annotations: Labels,
    /// Labels of nodes for the pods.
    node_selector: Labels,
    /// Beside those of scheduling.corePods.
    tolerations: Items,
    pdb: Pdb,
    network_policy: NetworkPolicy,
}

/// What Zero to JupyterHub has besides; see moving.yaml for why.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub struct ProxyWithoutEffect {
    chp: Part,
    traefik: Part,
    secret_sync: Part,
    deployment_strategy: Part,
    annotations: Labels,
    labels: Labels,
    node_selector: Labels,
    pdb: Part,
    network_policy: Part,
}

/// Encryption of what comes from outside.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Https {
    /// Whether there is any.
    enabled: bool,
    /// offload, manual or secret; the other is refused, see ingress and httpRoute.
    r#type: HttpsType,
    /// Without effect.
    letsencrypt: Part,
    manual: ManualCertificate,
    secret: CertificateSecret,
    /// Without effect.
    hosts: Vec<String>,
}

/// The Hub's certificate itself, in PEM.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ManualCertificate {
    /// Its private key.
    key: String,
    /// The certificate, with those that lead to its authority.
    cert: String,
}

/// A Secret that holds the Hub's certificate.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct CertificateSecret {
    /// Its name.
    name: String,
    /// Under which key it has the private key.
    key: String,
    /// Under which key it has the certificate.
    crt: String,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum HttpsType {
    Letsencrypt,
    Manual,
    Secret,
    Offload,
}

/// The Service for people outside the cluster.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Service {
    /// NodePort, LoadBalancer, or ClusterIP for none.
    r#type: ServiceType,
    node_ports: NodePorts,
    /// Address of a load balancer.
    #[schemars(rename = "loadBalancerIP")]
    load_balancer_ip: String,
    /// Networks that a load balancer lets in.
    load_balancer_source_ranges: Vec<String>,
    /// No port 80.
    disable_http_port: bool,
    /// Further ports.
    extra_ports: Vec<Part>,
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
    /// For HTTPS, and for what was decrypted before (proxy.https.type: offload).
    https: Option<u16>,
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
    /// Without effect.
    enabled: bool,
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
    /// What follows hub.baseUrl in the path.
    path_suffix: String,
    /// Further paths.
    extra_paths: Vec<Part>,
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
    /// The one gateway, in place of parentRefs.
    gateway: Part,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum DbType {
    SqlitePvc,
    SqliteMemory,
    Postgres,
    /// Refused.
    Mysql,
    /// Refused.
    Other,
}

#[derive(JsonSchema)]
pub enum ServiceType {
    ClusterIP,
    NodePort,
    LoadBalancer,
}

#[derive(JsonSchema)]
pub enum PathType {
    Exact,
    Prefix,
    ImplementationSpecific,
}
