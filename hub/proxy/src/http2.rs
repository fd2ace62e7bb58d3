//! HTTP/2 to browsers: its limits, and its requests as the services know them from HTTP/1.1.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{COOKIE, HOST, HeaderValue};
use http::{Request, Uri};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::client::{BoxError, KEEPALIVE_TIME, Peer, Served};

/// Requests at a time of one connection.
const MAX_STREAMS: u32 = 128;
/// Bytes of a request's head, each field with 32 more (RFC 9113 6.5.2).
const MAX_LIST: u32 = 64 * 1024;
/// Requests that a client has taken back before they were looked at; with more it is cut off (CVE-2023-44487).
const MAX_RESET: usize = 20;
/// How long a client may take to hear that its idle connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves one connection until it ends, has been idle for `idle`, or `stopped`.
pub(crate) async fn serve<S, B, IO>(
    stream: IO,
    peer: Peer,
    service: S,
    idle: Duration,
    mut stopped: watch::Receiver<()>,
) -> Result<(), BoxError>
where
    S: Served<B>,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let busy = Arc::new(watch::Sender::new(0));
    let quiet = quiet(busy.subscribe(), idle);
    let service = service_fn(move |mut request: Request<Incoming>| {
        as_http1(&mut request);
        request.extensions_mut().insert(peer.clone());
        let (answer, under_way) = (service.clone().oneshot(request), UnderWay::begin(&busy));
        async move {
            let answer = answer.await;
            // Ends with the body.
            answer.map(|answer| {
                answer.map(|body| {
                    body.map_frame(move |frame| {
                        let _ = &under_way;
                        frame
                    })
                })
            })
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_TIME)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_LIST)
        .max_pending_accept_reset_streams(MAX_RESET)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        result = &mut connection => return Ok(result?),
        () = quiet => {
            connection.as_mut().graceful_shutdown();
            timeout(FAREWELL, connection).await??;
        }
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await?;
        }
    }
    Ok(())
}

/// Waits until there was no request for so long.
async fn quiet(mut busy: watch::Receiver<usize>, long: Duration) {
    while busy.wait_for(|requests| *requests == 0).await.is_ok() {
        match timeout(long, busy.changed()).await {
            Ok(Ok(())) => {}
            // The connection has ended.
            Ok(Err(_)) => break,
            Err(_) => return,
        }
    }
    std::future::pending().await
}

/// A request, from its head to the end of its answer.
struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    fn begin(busy: &Arc<watch::Sender<usize>>) -> Self {
        busy.send_modify(|requests| *requests += 1);
        Self(busy.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|requests| *requests -= 1);
    }
}

/// The host stands in `Host`, whatever else the client has put there, the cookies in one field, and the address is a
/// path.
fn as_http1(request: &mut Request<Incoming>) {
    let authority = request.uri().authority();
    let host = authority.and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    join_cookies(request);
    // That of CONNECT has none.
    if let Some(path) = request.uri().path_and_query().cloned() {
        *request.uri_mut() = Uri::from(path);
    }
}

/// "If there are multiple Cookie header fields after decompression, these MUST be concatenated into a single octet string
/// using the two-octet delimiter of 0x3B, 0x20 ... before being passed into a non-HTTP/2 context" (RFC 9113 8.2.3).
fn join_cookies(request: &mut Request<Incoming>) {
    let crumbs = request.headers().get_all(COOKIE).iter();
    let crumbs: Vec<&[u8]> = crumbs.map(HeaderValue::as_bytes).collect();
    if crumbs.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        request.headers_mut().insert(COOKIE, joined);
    }
}
