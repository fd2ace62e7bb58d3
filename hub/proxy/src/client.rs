//! The client at the other end of a connection, and what serves it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tower::Service;

/// How soon a peer is found to have vanished without a word: a laptop closed, a node of the cluster lost.
pub(crate) const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// Fields of a head, whose bytes are what is meant to be limited; hyper stops at 100 unless it is told otherwise, and fills
/// room for as many at each message: for 1000, as nginx takes, that was a sixth of the proxy's time.
pub const MAX_FIELDS: usize = 256;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The client of a connection; [`serve`](crate::serve()) adds it to each request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub https: bool,
    pub(crate) forwarded_for: HeaderValue,
}

impl Peer {
    pub(crate) fn of(stream: &TcpStream, address: SocketAddr) -> Option<Self> {
        tune(stream).ok()?;
        let forwarded_for = HeaderValue::from_str(&address.ip().to_canonical().to_string()).ok()?;
        Some(Self {
            address,
            https: false,
            forwarded_for,
        })
    }
}

/// What [`serve`](crate::serve()) serves.
pub trait Served<B>:
    Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S, B> Served<B> for S where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// For both ends of the proxy: small messages leave at once, and a vanished peer is noticed.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_TIME / 4);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    stream.set_nodelay(true)
}
