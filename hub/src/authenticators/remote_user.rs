//! A proxy before the Hub logs people in; its header is believed only from where it stands.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};

use super::Identity;
use crate::config::RemoteUserAuthenticator;

pub struct RemoteUser {
    keys: RemoteUserAuthenticator,
}

impl RemoteUser {
    pub fn new(keys: RemoteUserAuthenticator) -> Self {
        Self { keys }
    }

    /// Who asks, by the word of `peer`: the other end of the connection itself.
    pub fn identity(&self, peer: IpAddr, headers: &HeaderMap) -> Option<Identity> {
        let networks = &self.keys.networks;
        if !networks.iter().any(|network| network.contains(&peer)) {
            return None;
        }
        let groups = self.keys.groups_header.as_ref().map(|header| {
            let groups = only(headers, &header.0).unwrap_or_default();
            let groups = groups.split(',').map(str::trim);
            let groups = groups.filter(|group| !group.is_empty());
            groups.map(str::to_owned).collect()
        });
        Some(Identity {
            name: only(headers, &self.keys.header_name.0)?.to_owned(),
            groups,
            ..Identity::default()
        })
    }
}

/// The one value of a header: a second one may be the visitor's own, which the proxy let through.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).into_iter();
    let value = std::str::from_utf8(values.next()?.as_bytes()).ok()?.trim();
    (values.next().is_none() && !value.is_empty()).then_some(value)
}
