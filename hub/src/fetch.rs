//! One request over a connection of its own, and its answer read whole.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::task::JoinSet;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// `request` names its host; an answer whose body is larger than `longest` is none.
pub async fn send(
    address: impl ToSocketAddrs,
    request: Request<Full<Bytes>>,
    longest: usize,
) -> Result<Response<Bytes>, Error> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(carrel_proxy::MAX_FIELDS)
        .handshake(TokioIo::new(stream))
        .await?;
    // Ends with this function.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, longest).collect().await?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}
