//! The port that a program listens at.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use tokio::net::TcpListener;

/// Binds early, so that a port that is taken is named at once.
///
/// # Errors
/// When it cannot be had.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        // A machine without IPv6.
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            TcpListener::bind(all).await.map_err(|_| error)
        }
        bound => bound,
    };
    bound.with_context(|| format!("could not listen on {address}"))
}
