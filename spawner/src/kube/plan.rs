//! All that the objects of one server are made of.

use super::options::KubeOptions;
use super::template::Fields;
use crate::StartRequest;

/// Names of all objects of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub namespace: String,
    pub pod: String,
    pub pvc: String,
    pub secret: String,
}

/// Everything that objects are made of.
#[derive(Debug)]
pub struct Plan<'a> {
    /// With the overrides of groups and profile applied.
    pub options: &'a KubeOptions,
    pub request: &'a StartRequest,
    pub names: &'a Names,
    pub fields: &'a Fields,
}

/// The names of a server's objects, and the fields that its texts are filled with. A `claim` that it had before stays its
/// own (`KubeSpawner.remember_pvc_name`).
pub fn names(
    options: &KubeOptions,
    user: &str,
    server: &str,
    start_id: &str,
    claim: Option<String>,
    hub_namespace: &str,
) -> (Names, Fields) {
    let fields = Fields::new(options.slug_scheme, user, server, hub_namespace);
    let namespace = options.namespace.as_deref().unwrap_or(hub_namespace);
    let names = Names {
        namespace: namespace.to_owned(),
        pod: fields.name(&options.pod_name_template),
        pvc: claim.unwrap_or_else(|| fields.name(&options.pvc_name_template)),
        // By the start, not by the server: a new start never meets what an earlier one has left.
        secret: format!("start-{start_id}"),
    };
    let fields = fields
        .with("namespace", names.namespace.clone())
        .with("pod_name", names.pod.clone())
        .with("pvc_name", names.pvc.clone());
    (names, fields)
}
