//! The service of a gateway: its owner chooses where each request goes, and hears what became of it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::{Request, Response, Uri, request, response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use tower::Service;

use crate::body::RequestBody;
use crate::exchange::AnswerBody;
use crate::pool::Pool;
use crate::proxy::{ProxyBody, accept_answer};
use crate::routes::Route;
use crate::send::{Failure, FailureKind, send};
use crate::trust::Trust;
use crate::tunnel;
use crate::{forward, guard};

/// What goes with `Upgrade: h2c` (RFC 7540 3.2.1).
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// A server that requests are sent to, and the idle connections to it, which clones share.
#[derive(Clone)]
pub struct Target(Arc<Route>);

impl Target {
    /// One at `address`, which is `host:port`. The log calls it `name`.
    pub fn plain(name: &str, address: &str) -> Self {
        Self(Arc::new(Route::alone(name, Pool::plain(address))))
    }

    /// One that speaks TLS and has a certificate for `host`.
    ///
    /// # Errors
    /// When `host` cannot be in a certificate.
    pub fn secure(
        name: &str,
        address: &str,
        host: &str,
        trust: &Trust,
    ) -> Result<Self, InvalidDnsNameError> {
        let host = ServerName::try_from(host.to_owned())?;
        let pool = Pool::secure(address, trust.connector(), host);
        Ok(Self(Arc::new(Route::alone(name, pool))))
    }
}

/// Chooses what becomes of a request.
pub trait Switch: Clone + Send + Sync + 'static {
    type Way: Way;

    /// Where a request goes, or its answer. What is changed of the head is what the target gets: the path, and headers,
    /// before those are added that tell of the client. Of protocols to change to only websockets are passed on; for those
    /// only the head of an answer is sent.
    ///
    /// # Errors
    /// The answer to a request that goes nowhere.
    #[expect(clippy::result_large_err, reason = "it is made once and handed on")]
    fn choose(&self, head: &mut request::Parts) -> Result<Self::Way, Response<Full<Bytes>>>;
}

/// The way of one request.
pub trait Way: Send + Sync + 'static {
    fn target(&self) -> &Target;

    /// How long the head of the answer may take from the end of the request, and how long the target may take no byte of
    /// what the client has sent. A protocol that has changed, and the body of
    /// an answer, take as long as they take.
    fn timeout(&self) -> Option<Duration>;

    /// The path that cookies and service workers of the answer keep to, and the names of cookies that it sets in no case;
    /// None where the target speaks for the whole origin.
    fn confined(&self) -> Option<(&str, &[&str])>;

    /// The head of the answer has come, so long after the request. What is changed of it is confined like the rest.
    fn answered(&self, head: &mut response::Parts, after: Duration);

    /// No answer has come; what the client is told.
    fn failed(&self, failure: &Failure, after: Duration) -> Response<Full<Bytes>>;
}

/// A tower service that sends each request where its switch says. Run it with [`serve()`](crate::serve()).
#[derive(Clone)]
pub struct Gateway<S>(pub S);

impl<S: Switch> Service<Request<Incoming>> for Gateway<S> {
    type Response = Response<ProxyBody<Full<Bytes>>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let switch = self.0.clone();
        Box::pin(async move { Ok(pass(&switch, request).await) })
    }
}

async fn pass<S: Switch>(
    switch: &S,
    mut request: Request<Incoming>,
) -> Response<ProxyBody<Full<Bytes>>> {
    let begun = Instant::now();
    let upgrade = forward::upgrade(request.headers()).filter(is_websocket);
    if upgrade.is_none() {
        request.headers_mut().remove(HTTP2_SETTINGS);
    }
    let client = upgrade.is_some().then(|| tunnel::Client::of(&mut request));
    let upgrading = client.is_some();
    let asked = request.uri().clone();
    let (mut head, body) = request.into_parts();
    let way = match switch.choose(&mut head) {
        Ok(way) => way,
        Err(answer) => return own(answer, upgrading),
    };
    forward::rewrite_request(&mut head, way.target().0.pool.address(), upgrade);
    match answer(&way, head, body, client).await {
        Ok(answer) => {
            let (mut head, body) = answer.into_parts();
            way.answered(&mut head, begun.elapsed());
            confine(&way, &mut head, &asked);
            accept_answer(Response::from_parts(head, body))
        }
        Err(failure) => own(way.failed(&failure, begun.elapsed()), upgrading),
    }
}

/// A tunnel of any other protocol would carry requests past the switch: HTTP/2 that a target speaks, by `h2c`. "A server
/// MAY ignore a received Upgrade header field" (RFC 9110 7.8).
fn is_websocket(protocol: &HeaderValue) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
}

async fn answer(
    way: &impl Way,
    head: request::Parts,
    body: Incoming,
    client: Option<tunnel::Client>,
) -> Result<Response<AnswerBody>, Failure> {
    let route = &way.target().0;
    let Some(timeout) = way.timeout() else {
        let request = Request::from_parts(head, RequestBody::Plain(body));
        return send(route, request, client).await;
    };
    let (body, upload) = RequestBody::watched(body);
    let request = Request::from_parts(head, body);
    tokio::select! {
        biased;
        answer = send(route, request, client) => answer,
        () = upload.overdue(timeout) => Err(Failure {
            kind: FailureKind::Late,
            cause: format!("{} did not answer within {timeout:?}", route.pool.address()),
        }),
    }
}

fn confine(way: &impl Way, head: &mut response::Parts, asked: &Uri) {
    if let Some((prefix, reserved)) = way.confined() {
        guard::confine(&mut head.headers, (prefix, false), asked, reserved);
    }
}

/// An answer of the gateway itself. Programs that speak another protocol do not read pages.
fn own(answer: Response<Full<Bytes>>, upgrading: bool) -> Response<ProxyBody<Full<Bytes>>> {
    if !upgrading {
        return answer.map(ProxyBody::Text);
    }
    let mut bare = Response::new(ProxyBody::Text(Full::default()));
    *bare.status_mut() = answer.status();
    let close = HeaderValue::from_static("close");
    bare.headers_mut().insert(CONNECTION, close);
    bare
}
