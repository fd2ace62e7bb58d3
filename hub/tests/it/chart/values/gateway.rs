//! Values of the gateway.

use schemars::JsonSchema;

use super::common::{Image, Items, Labels, NetworkPolicy, Part};

/// One address for browsers: the dashboard, the Hub, and what annotations of Services and HTTPRoutes ask for.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Gateway {
    /// Whether it is installed.
    enabled: bool,
    /// How many pods; they keep no state.
    replicas: u32,
    /// The NodePort of ambassador-katacoda; there is none without it.
    node_port: Option<u16>,
    /// Hosts of the routes to the Hub and the dashboards; any without.
    hosts: Vec<String>,
    /// Namespaces whose Services are looked at; all without.
    namespaces: Vec<String>,
    /// Addresses and networks of what stands before it, whose X-Forwarded headers are believed.
    trusted_proxies: Vec<String>,
    /// Where /k8s/ui/ leads: https://HOST:PORT.
    kubernetes_dashboard: String,
    /// Services NAME.NAMESPACE, and the host of kubernetesDashboard, whose certificates are believed unseen.
    unverified: Vec<String>,
    /// Certificates in PEM that those of Services may be signed with.
    target_certificates: String,
    /// A Secret of the type kubernetes.io/tls, by which browsers speak HTTPS with it.
    tls_secret: String,
    /// The GatewayClass that is made where the Gateway API is installed; none if it is empty.
    gateway_class: String,
    image: Image,
    /// Annotations of the pods.
    annotations: Labels,
    network_policy: NetworkPolicy,
    /// Requests and limits of the container.
    resources: Part,
    /// Labels that the nodes must have.
    node_selector: Labels,
    /// Taints of nodes that the pods tolerate.
    tolerations: Items,
}
