//! The client of a request as the Hub sees it: its address, and whether it speaks HTTPS with a proxy before us.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::request::Parts;

use crate::app::App;

#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub address: IpAddr,
    pub https: bool,
}

impl FromRequestParts<App> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<carrel_proxy::Peer>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
            peer.address.ip().to_canonical()
        });
        Ok(Self::new(app, peer, &parts.headers))
    }
}

impl Client {
    /// `X-Forwarded-*` is believed from `JupyterHub.trusted_downstream_ips` alone.
    fn new(app: &App, peer: IpAddr, headers: &HeaderMap) -> Self {
        if !app
            .config
            .jupyter_hub
            .trusted_downstream_ips
            .contains(&peer)
        {
            return Self {
                address: peer,
                https: false,
            };
        }
        // The last entry is the one that the trusted proxy wrote.
        let last = |name| {
            headers
                .get_all(name)
                .into_iter()
                .next_back()?
                .to_str()
                .ok()?
                .rsplit(',')
                .next()
                .map(str::trim)
        };
        Self {
            address: last("x-forwarded-for")
                .and_then(|address| address.parse().ok())
                .unwrap_or(peer),
            https: last("x-forwarded-proto") == Some("https"),
        }
    }
}
