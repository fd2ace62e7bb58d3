//! The client of a request as the Hub sees it: its address, and whether it speaks HTTPS with us or a proxy before us.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;
use ipnet::IpNet;

use crate::app::App;
use crate::headers::lossy;

#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The other end of the connection itself, be it a proxy.
    pub peer: IpAddr,
    pub address: IpAddr,
    pub https: bool,
}

impl FromRequestParts<App> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<carrel_proxy::Peer>();
        let https = peer.is_some_and(|peer| peer.https);
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.address.ip().to_canonical()
        });
        Ok(Self::new(app, peer, https, &parts.headers))
    }
}

impl Client {
    /// `X-Forwarded-*` is believed from `JupyterHub.trusted_downstream_ips` alone.
    fn new(app: &App, peer: IpAddr, https: bool, headers: &HeaderMap) -> Self {
        // Said once for all, there is nothing to find out.
        let public = app.urls.is_https();
        let trusted = &app.config.jupyter_hub.trusted_downstream_ips;
        if !is_in(trusted, peer) {
            return Self {
                peer,
                address: peer,
                https: public.unwrap_or(https),
            };
        }
        // The last entry is the one that the trusted proxy wrote.
        let scheme = entries(headers, "x-forwarded-proto").pop();
        Self {
            peer,
            address: forwarded(trusted, peer, headers),
            https: public.unwrap_or(scheme.map_or(https, |scheme| scheme == "https")),
        }
    }
}

/// From the last entry back over those that trusted proxies have written: the first address that is none of them.
fn forwarded(trusted: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = peer;
    for entry in entries(headers, "x-forwarded-for").iter().rev() {
        let Ok(address) = entry.parse::<IpAddr>() else {
            break;
        };
        client = address.to_canonical();
        if !is_in(trusted, client) {
            break;
        }
    }
    client
}

fn entries(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all(name).into_iter().map(lossy);
    lines
        .flat_map(|line| {
            line.split(',')
                .map(|entry| entry.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}
