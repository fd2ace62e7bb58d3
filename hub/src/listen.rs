//! Where the Hub listens: for users, by HTTPS where there is a certificate, and for servers and services, where that is apart.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use carrel_proxy::{Proxy, ProxyBody, Redirect, Routes, ServeOptions, Served, Tls, TlsError};
use futures_util::FutureExt as _;
use http::StatusCode;
use tokio::net::TcpListener;

use crate::config::JupyterHub;

/// How long answers under way may take after the Hub was told to end.
const DRAIN: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "port {0} is in use: stop what listens there, or choose another with --port or JupyterHub.port"
    )]
    PortInUse(u16),
    #[error("could not listen on {0} (JupyterHub.ip, JupyterHub.port)")]
    Bind(SocketAddr, #[source] std::io::Error),
    #[error("could not listen on {0} for servers (JupyterHub.hub_ip, JupyterHub.hub_port)")]
    BindHub(SocketAddr, #[source] std::io::Error),
    #[error("could not listen on {0} for plain HTTP (JupyterHub.ip, JupyterHub.redirect_port)")]
    BindRedirect(SocketAddr, #[source] std::io::Error),
    #[error("the Hub cannot speak HTTPS (JupyterHub.ssl_cert, JupyterHub.ssl_key)")]
    Tls(#[from] TlsError),
}

/// Bound, and not served yet.
pub struct Listeners {
    users: TcpListener,
    pub address: SocketAddr,
    tls: Option<Tls>,
    servers: Option<TcpListener>,
    redirect: Option<Redirect>,
    /// Where servers come.
    pub hub_address: SocketAddr,
}

impl Listeners {
    pub async fn open(hub: &JupyterHub) -> Result<Self, ListenError> {
        let tls = match (&hub.ssl_key, &hub.ssl_cert) {
            (Some(key), Some(certificate)) => {
                Some(Tls::open(key.0.clone(), certificate.0.clone())?)
            }
            _ => None,
        };
        let asked = SocketAddr::new(hub.ip, hub.port);
        let (users, address) = bind(asked).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => ListenError::PortInUse(asked.port()),
            _ => ListenError::Bind(asked, error),
        })?;
        let (mut servers, mut hub_address) = (None, address);
        if let Some(asked) = hub.hub_address() {
            let bound = bind(asked).await;
            let (listener, at) = bound.map_err(|error| ListenError::BindHub(asked, error))?;
            (servers, hub_address) = (Some(listener), at);
        }
        let redirect = match hub.redirect_port {
            Some(port) => Some(redirect(hub, port, address.port()).await?),
            None => None,
        };
        Ok(Self {
            users,
            address,
            tls,
            servers,
            redirect,
            hub_address,
        })
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Gives `users` to users and `router` to servers, as far as that is the API under `hub`, until `end`.
    pub async fn serve(
        self,
        users: impl Served<ProxyBody<Body>>,
        router: Router,
        hub: String,
        end: impl Future<Output = ()>,
    ) {
        let options = ServeOptions {
            drain: DRAIN,
            ..ServeOptions::default()
        };
        let end = end.shared();
        let for_servers = async {
            if let Some(listener) = self.servers {
                let api = router.layer(from_fn(move |request, next| {
                    only_api(hub.clone(), request, next)
                }));
                // It has no routes, but a runtime: what handlers begin there outlives the request.
                let service = Proxy::new(Routes::new(), api);
                carrel_proxy::serve(listener, service, end.clone(), options.clone()).await;
            }
        };
        let for_users = ServeOptions {
            tls: self.tls,
            ..options.clone()
        };
        let redirect = async {
            if let Some(redirect) = self.redirect {
                redirect.serve(end.clone(), options.clone()).await;
            }
        };
        tokio::join!(
            carrel_proxy::serve(self.users, users, end.clone(), for_users),
            for_servers,
            redirect
        );
    }
}

/// Plain HTTP at `port`, which leads to HTTPS as people reach it; `own` is where the Hub speaks it.
async fn redirect(hub: &JupyterHub, port: u16, own: u16) -> Result<Redirect, ListenError> {
    let asked = SocketAddr::new(hub.ip, port);
    let bound = bind(asked).await;
    let (listener, _) = bound.map_err(|error| ListenError::BindRedirect(asked, error))?;
    let public = hub.public_url.as_ref();
    let of_public = || public.and_then(|url| url.0.port_or_known_default());
    let to = hub.redirect_to.or_else(of_public);
    Ok(Redirect {
        listener,
        to: to.unwrap_or(own),
    })
}

async fn bind(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Servers need nothing else, and nobody logs in by plain HTTP where there is HTTPS.
async fn only_api(hub: String, request: Request, next: Next) -> Result<Response, Infallible> {
    let path = request.uri().path().strip_prefix(&hub);
    let path = path.unwrap_or_default();
    if ["health", "ready", "api"].contains(&path) || path.starts_with("api/") {
        return Ok(next.run(request).await);
    }
    let told =
        "This is the Hub's API for servers and services; people come to its public address.\n";
    Ok((StatusCode::NOT_FOUND, told).into_response())
}
