//! Which gateways of ours an HTTPRoute belongs to, and at which hosts. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::api::{self, GROUP, Gateway, GatewayClass, Listener, ParentRef};
use crate::rule::Host;

/// The gateways of our class, by namespace and name.
pub struct Gateways {
    /// That are ours.
    pub classes: Vec<Arc<DynamicObject>>,
    gateways: BTreeMap<Place, (Gateway, Arc<DynamicObject>)>,
}

/// The namespace and the name of a Gateway.
type Place = (String, String);

/// A listener of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub namespace: String,
    pub gateway: String,
    pub listener: String,
}

/// What a parent of a route says to it.
#[derive(Debug, Clone)]
pub struct Attached {
    /// As it stands in the route.
    pub parent: Value,
    /// The hosts of the route there, or why it is not taken: a reason and a text.
    pub hosts: Result<Vec<Host>, (&'static str, String)>,
    /// The listeners that take it.
    pub at: Vec<At>,
}

impl Gateways {
    pub fn new(
        classes: &[Arc<DynamicObject>],
        gateways: &[Arc<DynamicObject>],
        controller: &str,
    ) -> Self {
        let is_ours = |class: &&Arc<DynamicObject>| {
            let read = api::spec::<GatewayClass>(&class.data);
            read.is_ok_and(|class| class.controller_name == controller)
        };
        let classes: Vec<_> = classes.iter().filter(is_ours).cloned().collect();
        let ours: Vec<String> = classes.iter().map(|class| class.name_any()).collect();
        let of_ours = gateways.iter().filter_map(|object| {
            let gateway = api::spec::<Gateway>(&object.data).ok()?;
            let is_ours = ours.contains(&gateway.gateway_class_name);
            let key = (object.namespace()?, object.name_any());
            is_ours.then(|| (key, (gateway, Arc::clone(object))))
        });
        let gateways = of_ours.collect();
        Self { classes, gateways }
    }

    /// By their place.
    pub fn all(&self) -> impl Iterator<Item = (&Place, &Gateway, &Arc<DynamicObject>)> {
        let all = self.gateways.iter();
        all.map(|(place, (gateway, object))| (place, gateway, object))
    }

    /// The parents of a route that are ours.
    pub fn attach(&self, namespace: &str, parents: &[Value], hosts: &[String]) -> Vec<Attached> {
        let attached = parents.iter().filter_map(|value| {
            let parent: ParentRef = serde_json::from_value(value.clone()).ok()?;
            let of_api = parent.group.as_deref().unwrap_or(GROUP) == GROUP;
            let is_gateway = parent.kind.as_deref().unwrap_or("Gateway") == "Gateway";
            let place = parent.namespace.as_deref().unwrap_or(namespace);
            let key = (place.to_owned(), parent.name.clone());
            let found = self.gateways.get(&key).filter(|_| of_api && is_gateway);
            let (gateway, _) = found?;
            let same = place == namespace;
            let (hosts, names) = match listened(gateway, &parent, same, hosts) {
                Ok(Taken { hosts, names }) => (Ok(hosts), names),
                Err(why) => (Err(why), Vec::new()),
            };
            let at = |listener| At {
                namespace: key.0.clone(),
                gateway: key.1.clone(),
                listener,
            };
            Some(Attached {
                parent: value.clone(),
                hosts,
                at: names.into_iter().map(at).collect(),
            })
        });
        attached.collect()
    }
}

/// At which hosts a route is taken, and by which listeners.
struct Taken {
    hosts: Vec<Host>,
    names: Vec<String>,
}

/// The listeners that a route names, and that take routes of its namespace.
fn allowed<'a>(
    gateway: &'a Gateway,
    parent: &ParentRef,
    same: bool,
) -> Result<Vec<&'a Listener>, (&'static str, String)> {
    let wanted: Vec<&Listener> = gateway
        .listeners
        .iter()
        .filter(|listener| {
            let section = parent.section_name.as_ref();
            section.is_none_or(|name| *name == listener.name)
                && parent.port.is_none_or(|port| port == listener.port)
                && listener.is_http()
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
    Ok(allowed)
}

/// The hosts of a route, and the names of the listeners that take it, at a gateway that is in the `same` namespace, or not.
fn listened(
    gateway: &Gateway,
    parent: &ParentRef,
    same: bool,
    hosts: &[String],
) -> Result<Taken, (&'static str, String)> {
    let (mut met, mut names): (Vec<Host>, Vec<String>) = (Vec::new(), Vec::new());
    for listener in allowed(gateway, parent, same)? {
        let here = listener
            .hostname
            .as_deref()
            .map(Host::read)
            .unwrap_or_default();
        let asked = hosts.iter().map(|host| Host::read(host));
        let asked = asked.chain(hosts.is_empty().then_some(Host::Any));
        let both: Vec<Host> = asked.filter_map(|host| host.meet(&here)).collect();
        if !both.is_empty() {
            names.push(listener.name.clone());
        }
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
        false => Ok(Taken { hosts: met, names }),
    }
}
