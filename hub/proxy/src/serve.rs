//! The listener: accepts connections, speaks HTTP/1.1 on each, or what TLS agrees on, and drains them at shutdown.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use carrel_tls::{H2, Tls};
use http::Request;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::client::{BoxError, MAX_FIELDS, Peer, Served};
use crate::http2;
use crate::workers::Workers;

/// Bytes of a request's head, as large as tornado's default.
const MAX_HEAD: usize = 64 * 1024;
/// How long a client may take to agree on a key.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// More do not help where as many backends want to run too.
const MAX_THREADS: usize = 8;

#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// How long a client may take for the head of a request, and how long a connection may idle between two.
    pub header_read_timeout: Duration,
    /// How long requests under way may take after `shutdown`.
    pub drain: Duration,
    /// Each connection is served by one of them from its beginning to its end.
    pub threads: usize,
    /// Without it, connections are plain.
    pub tls: Option<Tls>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            threads: std::thread::available_parallelism()
                .map_or(1, |cores| cores.get().min(MAX_THREADS)),
            tls: None,
        }
    }
}

/// Serves `service` on `listener` until `shutdown`, then lets requests under way end within `options.drain`.
/// Upgraded connections (websockets) are no requests under way: they end when it returns.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    shutdown: impl Future<Output = ()>,
    options: ServeOptions,
) where
    S: Served<B>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut following = JoinSet::new();
    if let Some(tls) = &options.tls {
        following.spawn(tls.clone().follow_files());
    }
    let (stop, stopped) = watch::channel(());
    let mut workers = match Workers::start(options.threads, options.drain) {
        Ok(workers) => workers,
        Err(error) => {
            tracing::error!(%error, "Could not start the threads of the proxy, it does not serve");
            return;
        }
    };
    let mut shutdown = pin!(shutdown);
    let mut pause = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, address)) => {
                pause = Duration::ZERO;
                let (service, options) = (service.clone(), options.clone());
                let stopped = stopped.clone();
                // It leaves this runtime for that of the thread.
                let Ok(stream) = stream.into_std() else {
                    continue;
                };
                workers.run(Box::new(move || {
                    Box::pin(serve_connection(stream, address, service, options, stopped))
                }));
            }
            Err(error) => {
                pause = (pause * 2).clamp(Duration::from_millis(10), MAX_ACCEPT_PAUSE);
                after_accept_error(&error, pause).await;
            }
        }
    }
    drop(listener);
    drop(stop);
    workers.end().await;
}

/// A client that went away before it was accepted is its own affair. Out of file descriptors or memory, the next
/// try would fail at once: wait for some connections to end.
async fn after_accept_error(error: &io::Error, pause: Duration) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        return;
    }
    tracing::error!(%error, "Could not accept a connection; trying again");
    tokio::time::sleep(pause).await;
}

async fn serve_connection<S, B>(
    stream: std::net::TcpStream,
    address: SocketAddr,
    service: S,
    options: ServeOptions,
    stopped: watch::Receiver<()>,
) where
    S: Served<B>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let Ok(stream) = TcpStream::from_std(stream) else {
        return;
    };
    let Some(peer) = Peer::of(&stream, address) else {
        return;
    };
    let result = match options.tls.clone() {
        None => serve_http1(stream, peer, service, &options, stopped).await,
        // Boxed: plain connections need no room for it.
        Some(tls) => Box::pin(serve_tls(stream, tls, peer, service, &options, stopped)).await,
    };
    if let Err(error) = result {
        tracing::debug!(peer.address = %address, %error, "A client's connection broke");
    }
}

/// HTTP/2 or HTTP/1.1, as the client chooses.
async fn serve_tls<S, B>(
    stream: TcpStream,
    tls: Tls,
    mut peer: Peer,
    service: S,
    options: &ServeOptions,
    mut stopped: watch::Receiver<()>,
) -> Result<(), BoxError>
where
    S: Served<B>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream));
    let stream = tokio::select! {
        accepted = accepted => accepted??,
        _ = stopped.changed() => return Ok(()),
    };
    peer.https = true;
    if stream.get_ref().1.alpn_protocol() == Some(H2) {
        let idle = options.header_read_timeout;
        return http2::serve(stream, peer, service, idle, stopped).await;
    }
    serve_http1(stream, peer, service, options, stopped).await
}

async fn serve_http1<S, B, IO>(
    stream: IO,
    peer: Peer,
    service: S,
    options: &ServeOptions,
    mut stopped: watch::Receiver<()>,
) -> Result<(), BoxError>
where
    S: Served<B>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        service.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_read_timeout)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .writev(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        result = &mut connection => result?,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
    }
    Ok(())
}
