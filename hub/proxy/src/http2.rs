//! HTTP/2 to browsers: its limits, and its requests and websockets as the services know them from HTTP/1.1.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, COOKIE, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::client::{BoxError, KEEPALIVE_TIME, Peer, Served};
use crate::tunnel::Held;

/// Requests at a time of one connection.
const MAX_STREAMS: u32 = 128;
/// Bytes of a request's head, each field with 32 more (RFC 9113 6.5.2).
const MAX_LIST: u32 = 64 * 1024;
/// Requests that a client has taken back before they were looked at; with more it is cut off (CVE-2023-44487).
const MAX_RESET: usize = 20;
const WEBSOCKET: &str = "websocket";
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
    let busy = Arc::new(watch::Sender::new(Load::default()));
    let quiet = quiet(busy.subscribe(), idle);
    let mut load = busy.subscribe();
    let service = service_fn(move |mut request: Request<Incoming>| {
        let websocket = is_websocket(&request);
        if websocket {
            let tunnel: Arc<dyn Send + Sync> =
                Arc::new(UnderWay::begin(&busy, |load| &mut load.tunnels));
            request.extensions_mut().insert(Held(tunnel));
            ask_for_upgrade(&mut request);
        }
        as_http1(&mut request);
        request.extensions_mut().insert(peer.clone());
        let under_way = UnderWay::begin(&busy, |load| &mut load.requests);
        let answer = service.clone().oneshot(request);
        async move {
            let mut answer = answer.await;
            if let Ok(answer) = &mut answer
                && websocket
            {
                answer_upgrade(answer);
            }
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
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_TIME)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_LIST)
        .max_pending_accept_reset_streams(MAX_RESET)
        .enable_connect_protocol();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        result = &mut connection => return Ok(result?),
        () = quiet => {
            connection.as_mut().graceful_shutdown();
            timeout(FAREWELL, connection).await??;
        }
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            // Websockets are no requests under way.
            let done = async {
                let _ = load.wait_for(|load| load.requests == 0).await;
                tokio::time::sleep(FAREWELL).await;
            };
            tokio::select! {
                result = &mut connection => return Ok(result?),
                () = done => {}
            }
        }
    }
    Ok(())
}

/// Waits until there was no request for so long, nor a websocket.
async fn quiet(mut busy: watch::Receiver<Load>, long: Duration) {
    while busy.wait_for(|load| *load == Load::default()).await.is_ok() {
        match timeout(long, busy.changed()).await {
            Ok(Ok(())) => {}
            // The connection has ended.
            Ok(Err(_)) => break,
            Err(_) => return,
        }
    }
    std::future::pending().await
}

/// What a connection carries.
#[derive(Debug, Default, PartialEq, Eq)]
struct Load {
    /// From the head to the end of the answer.
    requests: usize,
    /// Websockets.
    tunnels: usize,
}

type Count = fn(&mut Load) -> &mut usize;

struct UnderWay(Arc<watch::Sender<Load>>, Count);

impl UnderWay {
    fn begin(busy: &Arc<watch::Sender<Load>>, count: Count) -> Self {
        busy.send_modify(|load| *count(load) += 1);
        Self(busy.clone(), count)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|load| *(self.1)(load) -= 1);
    }
}

/// A request for a websocket (RFC 8441, 5).
fn is_websocket(request: &Request<Incoming>) -> bool {
    let protocol = request.extensions().get::<Protocol>();
    request.method() == Method::CONNECT
        && protocol.is_some_and(|protocol| protocol.as_str() == WEBSOCKET)
}

/// Makes of it what HTTP/1.1 has for it: there a key shows that the other end understands (RFC 6455, 4.1), of which
/// HTTP/2 needs none.
fn ask_for_upgrade(request: &mut Request<Incoming>) {
    *request.method_mut() = Method::GET;
    request.extensions_mut().remove::<Protocol>();
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
}

/// The answer to it: "The server sends a response with a 2xx status code to indicate success" (RFC 8441, 5), and no other
/// answer may look like that.
fn answer_upgrade<B>(answer: &mut Response<B>) {
    let status = answer.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        *answer.status_mut() = StatusCode::OK;
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
            answer.headers_mut().remove(name);
        }
    } else if status.is_success() {
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
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
