//! Where a Service of the cluster is. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use crate::rule::{Address, Missing};

/// All Services that are watched, by namespace and name.
#[derive(Default)]
pub struct Services<'a> {
    by_name: BTreeMap<(String, String), &'a Service>,
    /// Services and hosts whose certificates are believed unseen: `name.namespace`.
    unverified: &'a [String],
}

impl<'a> Services<'a> {
    pub fn new(services: impl Iterator<Item = &'a Service>, unverified: &'a [String]) -> Self {
        let by_name = services
            .map(|service| {
                let namespace = service.namespace().unwrap_or_default();
                ((namespace, service.name_any()), service)
            })
            .collect();
        Self {
            by_name,
            unverified,
        }
    }

    /// The address of a port of a Service.
    ///
    /// # Errors
    /// When there is none that may be used.
    pub fn address(
        &self,
        namespace: &str,
        name: &str,
        port: u16,
        https: bool,
    ) -> Result<Address, Missing> {
        let key = (namespace.to_owned(), name.to_owned());
        let service = self.by_name.get(&key).ok_or_else(|| {
            Missing::NotFound(format!("there is no Service {name} in {namespace}"))
        })?;
        let spec = service.spec.clone().unwrap_or_default();
        // It would lead anywhere, by the rights of the gateway's network.
        if spec.type_.as_deref() == Some("ExternalName") {
            let text = format!("the Service {namespace}/{name} is an ExternalName");
            return Err(Missing::Unsupported(text));
        }
        let mut ports = spec.ports.iter().flatten();
        let known = ports.find(|known| known.port == i32::from(port));
        let known = known.ok_or_else(|| {
            Missing::NotFound(format!("the Service {namespace}/{name} has no port {port}"))
        })?;
        let host = format!("{name}.{namespace}.svc");
        let ip = spec.cluster_ip.as_deref();
        let address = match ip.filter(|ip| !ip.is_empty() && *ip != "None") {
            Some(ip) if ip.contains(':') => format!("[{ip}]:{port}"),
            Some(ip) => format!("{ip}:{port}"),
            // Its name leads to the pods themselves, where its own ports are nobody's.
            None => match known
                .target_port
                .clone()
                .unwrap_or(IntOrString::Int(known.port))
            {
                IntOrString::Int(port) => format!("{host}:{port}"),
                IntOrString::String(port) => {
                    let text = format!(
                        "the Service {namespace}/{name} has no address, and its targetPort `{port}` no number"
                    );
                    return Err(Missing::NotFound(text));
                }
            },
        };
        let unverified = self.unverified.contains(&format!("{name}.{namespace}"));
        Ok(Address {
            address,
            tls: https.then_some((host, unverified)),
        })
    }
}
