//! Which gateways of ours an HTTPRoute belongs to, and at which hosts. Pure.

use std::collections::HashMap;

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::api::{self, GROUP, Gateway, GatewayClass, Listener, ParentRef};
use crate::rule::Host;

/// The gateways of our class, by namespace and name.
pub struct Gateways(HashMap<(String, String), Gateway>);

/// What a parent of a route says to it.
#[derive(Debug, Clone)]
pub struct Attached {
    /// As it stands in the route.
    pub parent: Value,
    /// The hosts of the route there, or why it is not taken: a reason and a text.
    pub hosts: Result<Vec<Host>, (&'static str, String)>,
}

impl Gateways {
    pub fn new<'a>(
        classes: impl Iterator<Item = &'a DynamicObject>,
        gateways: impl Iterator<Item = &'a DynamicObject>,
        controller: &str,
    ) -> Self {
        let is_ours = |class: &&DynamicObject| {
            let read = api::spec::<GatewayClass>(&class.data);
            read.is_ok_and(|class| class.controller_name == controller)
        };
        let ours: Vec<String> = classes
            .filter(is_ours)
            .map(|class| class.name_any())
            .collect();
        let of_ours = gateways.filter_map(|object| {
            let gateway = api::spec::<Gateway>(&object.data).ok()?;
            let is_ours = ours.contains(&gateway.gateway_class_name);
            let key = (object.namespace()?, object.name_any());
            is_ours.then_some((key, gateway))
        });
        Self(of_ours.collect())
    }

    /// The parents of a route that are ours.
    pub fn attach(&self, namespace: &str, parents: &[Value], hosts: &[String]) -> Vec<Attached> {
        let attached = parents.iter().filter_map(|value| {
            let parent: ParentRef = serde_json::from_value(value.clone()).ok()?;
            let of_api = parent.group.as_deref().unwrap_or(GROUP) == GROUP;
            let is_gateway = parent.kind.as_deref().unwrap_or("Gateway") == "Gateway";
            let place = parent.namespace.as_deref().unwrap_or(namespace);
            let key = (place.to_owned(), parent.name.clone());
            let gateway = self.0.get(&key).filter(|_| of_api && is_gateway)?;
            let same = place == namespace;
            Some(Attached {
                parent: value.clone(),
                hosts: listened(gateway, &parent, same, hosts),
            })
        });
        attached.collect()
    }
}

/// The hosts of a route at a gateway that is in the `same` namespace, or not.
fn listened(
    gateway: &Gateway,
    parent: &ParentRef,
    same: bool,
    hosts: &[String],
) -> Result<Vec<Host>, (&'static str, String)> {
    let wanted: Vec<&Listener> = gateway
        .listeners
        .iter()
        .filter(|listener| {
            let section = parent.section_name.as_ref();
            section.is_none_or(|name| *name == listener.name)
                && parent.port.is_none_or(|port| port == listener.port)
                && matches!(listener.protocol.as_str(), "HTTP" | "HTTPS")
        })
        .collect();
    if wanted.is_empty() {
        let text = "the Gateway has no such listener for HTTP".to_owned();
        return Err(("NoMatchingParent", text));
    }
    let allowed = wanted.into_iter().filter(|listener| {
        match listener.allowed_routes.namespaces.from.as_deref() {
            Some("All") => true,
            None | Some("Same") => same,
            _ => false,
        }
    });
    let allowed: Vec<&Listener> = allowed.collect();
    if allowed.is_empty() {
        let text = "no listener takes routes of this namespace (from: Same or All; selectors are not read)";
        return Err(("NotAllowedByListeners", text.to_owned()));
    }
    let mut met: Vec<Host> = Vec::new();
    for listener in allowed {
        let here = listener
            .hostname
            .as_deref()
            .map(Host::read)
            .unwrap_or_default();
        let asked = hosts.iter().map(|host| Host::read(host));
        let asked = asked.chain(hosts.is_empty().then_some(Host::Any));
        let both: Vec<Host> = asked.filter_map(|host| host.meet(&here)).collect();
        met.extend(
            both.into_iter()
                .filter(|host| !met.contains(host))
                .collect::<Vec<_>>(),
        );
    }
    match met.is_empty() {
        true => Err((
            "NoMatchingListenerHostname",
            "no listener has one of its hostnames".to_owned(),
        )),
        false => Ok(met),
    }
}
