//! Which Services of other namespaces HTTPRoutes may lead to. Pure.

use kube::ResourceExt as _;
use kube::api::DynamicObject;

use crate::api::{self, GROUP, ReferenceGrant};

/// By the namespace that they are in.
pub struct Grants(Vec<(String, ReferenceGrant)>);

impl Grants {
    /// One that does not read grants nothing.
    pub fn new<'a>(objects: impl Iterator<Item = &'a DynamicObject>) -> Self {
        let read = objects.filter_map(|object| {
            let grant = api::spec(&object.data).ok()?;
            Some((object.namespace()?, grant))
        });
        Self(read.collect())
    }

    /// Whether routes of the namespace `from` may use the Service `name` in `to`.
    pub fn permit(&self, from: &str, to: &str, name: &str) -> bool {
        let mut grants = self.0.iter().filter(|(namespace, _)| namespace == to);
        grants.any(|(_, grant)| {
            let mut sources = grant.from.iter();
            let mut targets = grant.to.iter();
            sources.any(|source| {
                source.group == GROUP && source.kind == "HTTPRoute" && source.namespace == from
            }) && targets.any(|target| {
                let named = target.name.as_deref();
                target.group.is_empty()
                    && target.kind == "Service"
                    && named.is_none_or(|named| named == name)
            })
        })
    }
}
