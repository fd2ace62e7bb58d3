//! What several values have in common.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// A part of a Kubernetes object, which the API server checks, or of the Hub's configuration.
pub type Part = Map<String, Value>;
pub type Labels = BTreeMap<String, String>;

/// A list, or a mapping whose values are the items, in the order of their keys.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Items {
    List(Vec<Part>),
    Map(BTreeMap<String, Option<Part>>),
}

/// Environment variables by name: texts, or mappings with valueFrom; or a list of Kubernetes' own.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Environment {
    Map(BTreeMap<String, Option<Variable>>),
    List(Vec<Part>),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Variable {
    Text(String),
    Number(f64),
    Switch(bool),
    Source(Part),
}

/// Files by name.
pub type Files = BTreeMap<String, Option<File>>;

/// A file, kept in a Secret.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct File {
    /// Where it is mounted; without it, it is in the Secret only.
    mount_path: String,
    /// Its text.
    string_data: String,
    /// Its content in base64.
    binary_data: String,
    /// What is written as JSON, or as YAML or TOML where mountPath ends so.
    data: Value,
    /// Its mode, such as 0644.
    mode: u32,
}

/// Without effect.
pub type Probe = Part;

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
    /// Names of the secrets with which it is pulled, beside imagePullSecrets.
    pull_secrets: Vec<Value>,
}

/// What may reach the pods, and what they may reach.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// Whether there is one.
    enabled: bool,
    /// Further rules for who reaches them.
    ingress: Items,
    /// Further rules for what they reach.
    egress: Items,
    /// Without effect.
    inter_namespace_access_labels: String,
    /// Without effect.
    allowed_ingress_ports: Vec<Value>,
    egress_allow_rules: EgressAllowRules,
}

/// Rules by name.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct EgressAllowRules {
    /// Name servers, wherever they are.
    dns: bool,
    /// As `dns`, which stands for all three.
    dns_ports_cloud_metadata_server: bool,
    /// As `dns`, which stands for all three.
    dns_ports_kube_system_namespace: bool,
    /// As `dns`, which stands for all three.
    #[schemars(rename = "dnsPortsPrivateIPs")]
    dns_ports_private_ips: bool,
    /// The internet.
    #[schemars(rename = "nonPrivateIPs")]
    non_private_ips: bool,
    /// Addresses of private networks: other pods, Services, and mostly the API server.
    #[schemars(rename = "privateIPs")]
    private_ips: bool,
    /// The server at which clouds give credentials to nodes.
    cloud_metadata_server: bool,
}

#[derive(JsonSchema)]
pub enum PullPolicy {
    Always,
    IfNotPresent,
    Never,
}
