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
        let (address, steps) = forwarded(trusted, peer, headers);
        let scheme = scheme(steps, headers);
        Self {
            peer,
            address,
            https: public.unwrap_or(scheme.map_or(https, |scheme| scheme == "https")),
        }
    }
}

/// From the last entry back over those that trusted proxies have written: the first address that is none of them, and how
/// many entries back it is.
fn forwarded(trusted: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> (IpAddr, usize) {
    let (mut client, mut steps) = (peer, 0);
    for entry in entries(headers, "x-forwarded-for").iter().rev() {
        let Ok(address) = entry.parse::<IpAddr>() else {
            break;
        };
        client = address.to_canonical();
        steps += 1;
        if !is_in(trusted, client) {
            break;
        }
    }
    (client, steps)
}

/// That by which the client speaks: each proxy has added one entry to both headers, so it is as far back as the address.
fn scheme(steps: usize, headers: &HeaderMap) -> Option<String> {
    let mut schemes = entries(headers, "x-forwarded-proto");
    let place = schemes.len().checked_sub(1)?;
    Some(schemes.swap_remove(place.saturating_sub(steps.saturating_sub(1))))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_s_address_and_scheme_are_those_that_the_farthest_trusted_proxy_wrote() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let found = |addresses: &'static str, schemes: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", addresses.parse().unwrap());
            headers.insert("x-forwarded-proto", schemes.parse().unwrap());
            let (address, steps) = forwarded(&trusted, [10, 0, 0, 1].into(), &headers);
            (address.to_string(), scheme(steps, &headers).unwrap())
        };
        let is = |address: &str, scheme: &str| (address.to_owned(), scheme.to_owned());
        assert_eq!(found("1.2.3.4", "https"), is("1.2.3.4", "https"));
        // An ingress controller that ends TLS, and a proxy behind it.
        let two = found("1.2.3.4, 10.0.0.2", "https, http");
        assert_eq!(two, is("1.2.3.4", "https"));
        // What the client itself wrote is nobody's word.
        let forged = found("9.9.9.9, 1.2.3.4, 10.0.0.2", "https, http, http");
        assert_eq!(forged, is("1.2.3.4", "http"));
        // A proxy that adds no scheme.
        assert_eq!(found("1.2.3.4, 10.0.0.2", "https"), is("1.2.3.4", "https"));
    }
}
