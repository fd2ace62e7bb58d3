//! The service: finds a request's route and forwards it, or hands it to the fallback.

use std::borrow::Cow;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, CONNECTION, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};

use crate::body::RequestBody;
use crate::client::BoxError;
use crate::exchange::AnswerBody;
use crate::routes::{Route, Routes};
use crate::send::send;
use crate::tunnel;
use crate::{forward, guard, host};

type Finder = Arc<dyn Fn(&str) -> Option<BoxFuture<'static, bool>> + Send + Sync>;
type Responder<B> = Arc<dyn Fn(Unavailable) -> BoxFuture<'static, Response<B>> + Send + Sync>;

/// A tower service that forwards each request with a route and gives the others to `F`, such as an axum router.
/// Run it with [`serve()`](crate::serve()), which tells it who the client is.
pub struct Proxy<F, B> {
    routes: Routes,
    fallback: F,
    miss: Option<Finder>,
    unavailable: Option<Responder<B>>,
    reserved_cookies: &'static [&'static str],
    by_host: bool,
    home: Handle,
}

/// A request whose target is down or broke off before it answered.
#[derive(Debug, Clone)]
pub struct Unavailable {
    pub method: Method,
    /// As the client sent it.
    pub uri: Uri,
    /// The `Accept` header, to choose between a page and JSON.
    pub accept: Option<HeaderValue>,
    /// The prefix of its route.
    pub prefix: String,
    /// What went wrong, for the log.
    pub cause: String,
}

impl<F, B> Proxy<F, B>
where
    F: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    F::Future: Send,
    B: Send + 'static,
{
    /// Call it within the runtime that the fallback and `on_unavailable` are to run in: what they start there
    /// outlives the request, and what they do after they first wait does not hold up the proxy's own threads.
    pub fn new(routes: Routes, fallback: F) -> Self {
        Self {
            routes,
            fallback,
            miss: None,
            unavailable: None,
            reserved_cookies: &[],
            by_host: false,
            home: Handle::current(),
        }
    }

    /// Names of the fallback's own cookies: no target sets one.
    pub fn reserve_cookies(mut self, names: &'static [&'static str]) -> Self {
        self.reserved_cookies = names;
        self
    }

    /// Looks for routes by the host first: it stands before the path, `/<host>/<path>`, in prefixes and in what
    /// [`Proxy::on_miss`] is asked.
    pub fn by_host(mut self, by_host: bool) -> Self {
        self.by_host = by_host;
        self
    }

    /// Asks about each path without a route whether one was added just now: then the request takes it, and goes to the
    /// fallback otherwise. `None` for a path that never has one.
    pub fn on_miss<Fut>(
        mut self,
        find: impl Fn(&str) -> Option<Fut> + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.miss = Some(Arc::new(move |path| Some(Box::pin(find(path)?))));
        self
    }

    /// Makes the answer when a target is unavailable; its status becomes 503 whatever `respond` says. Without it
    /// the answer is one line of text. A refused websocket always gets a bare 503.
    pub fn on_unavailable<Fut>(
        mut self,
        respond: impl Fn(Unavailable) -> Fut + Send + Sync + 'static,
    ) -> Self
    where
        Fut: Future<Output = Response<B>> + Send + 'static,
    {
        self.unavailable = Some(Arc::new(move |unavailable| Box::pin(respond(unavailable))));
        self
    }
}

impl<F: Clone, B> Clone for Proxy<F, B> {
    fn clone(&self) -> Self {
        Self {
            routes: self.routes.clone(),
            fallback: self.fallback.clone(),
            miss: self.miss.clone(),
            unavailable: self.unavailable.clone(),
            reserved_cookies: self.reserved_cookies,
            by_host: self.by_host,
            home: self.home.clone(),
        }
    }
}

impl<F, B> Service<Request<Incoming>> for Proxy<F, B>
where
    F: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    F::Future: Send,
    B: Send + 'static,
{
    type Response = Response<ProxyBody<B>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // The fallback is awaited ready by the requests that need it.
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let place = place(&request, self.by_host);
        let route = self.routes.find(&place);
        let found = match &self.miss {
            Some(find) if route.is_none() => find(&place),
            _ => None,
        };
        match (route, found) {
            (Some(route), _) => {
                let respond = self.unavailable.clone();
                let guard = (self.reserved_cookies, self.by_host);
                Box::pin(forward(route, respond, guard, self.home.clone(), request))
            }
            (None, Some(found)) => Box::pin(look_again(self.clone(), found, request)),
            (None, None) => Box::pin(fall_back(self.home.clone(), self.fallback.clone(), request)),
        }
    }
}

/// Where the routes have a request.
fn place(request: &Request<Incoming>, by_host: bool) -> Cow<'_, str> {
    match by_host {
        true => Cow::Owned(host::place(request)),
        false => Cow::Borrowed(request.uri().path()),
    }
}

async fn look_again<F, B>(
    proxy: Proxy<F, B>,
    found: BoxFuture<'static, bool>,
    request: Request<Incoming>,
) -> Result<Response<ProxyBody<B>>, Infallible>
where
    F: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    F::Future: Send,
    B: Send + 'static,
{
    let found = run_at(proxy.home.clone(), found).await == Some(true);
    let route = proxy.routes.find(&place(&request, proxy.by_host));
    match route.filter(|_| found) {
        Some(route) => {
            let guard = (proxy.reserved_cookies, proxy.by_host);
            forward(route, proxy.unavailable, guard, proxy.home, request).await
        }
        None => fall_back(proxy.home, proxy.fallback, request).await,
    }
}

async fn fall_back<F, B>(
    home: Handle,
    fallback: F,
    request: Request<Incoming>,
) -> Result<Response<ProxyBody<B>>, Infallible>
where
    F: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    F::Future: Send,
    B: Send + 'static,
{
    let answer = run_at(home, fallback.oneshot(request)).await.transpose()?;
    Ok(answer.map_or_else(|| bare_503(true), |answer| answer.map(ProxyBody::Fallback)))
}

async fn forward<B>(
    route: Arc<Route>,
    unavailable: Option<Responder<B>>,
    (reserved, by_host): (&'static [&'static str], bool),
    home: Handle,
    mut request: Request<Incoming>,
) -> Result<Response<ProxyBody<B>>, Infallible>
where
    B: Send + 'static,
{
    let upgrade = forward::upgrade(request.headers());
    let client = upgrade.is_some().then(|| tunnel::Client::of(&mut request));
    let method = request.method().clone();
    let uri = request.uri().clone();
    let accept = request.headers().get(ACCEPT).cloned();
    let (mut head, body) = request.into_parts();
    forward::rewrite_request(&mut head, route.pool.address(), upgrade);
    let request = Request::from_parts(head, RequestBody::Plain(body));
    let upgrading = client.is_some();
    let answer = send(&route, request, client).await;
    let cause = match answer {
        Ok(mut answer) => {
            let path = match by_host {
                true => host::path_of(route.prefix()),
                false => route.prefix(),
            };
            // Who answers for all that has no other route has the origin for its own.
            if path != "/" {
                guard::confine(answer.headers_mut(), (path, by_host), &uri, reserved);
            }
            return Ok(accept_answer(answer));
        }
        Err(failed) => failed.cause,
    };
    tracing::warn!(
        route.prefix = route.prefix(),
        target = route.pool.address(),
        cause,
        "A target is unavailable"
    );
    let unavailable = unavailable.filter(|_| !upgrading);
    let Some(respond) = unavailable else {
        return Ok(bare_503(upgrading));
    };
    let what = Unavailable {
        method,
        uri,
        accept,
        prefix: route.prefix().to_owned(),
        cause,
    };
    let Some(answer) = run_at(home, respond(what)).await else {
        return Ok(bare_503(true));
    };
    let mut answer = answer.map(ProxyBody::Fallback);
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    Ok(answer)
}

/// Runs `future` in the runtime `home`, as long as it is waited for. `None` if that runtime ends. Up to where it first waits
/// it runs on this thread: a small answer waits for nothing, and would wake two threads.
async fn run_at<T: Send + 'static>(
    home: Handle,
    future: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let mut future = Box::pin(future);
    let begun = poll_fn(|cx| {
        let _home = home.enter();
        Poll::Ready(future.as_mut().poll(cx))
    });
    if let Poll::Ready(output) = begun.await {
        return Some(output);
    }
    let mut task = JoinSet::new();
    task.spawn_on(future, &home);
    match task.join_next().await? {
        Ok(output) => Some(output),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}

pub(crate) fn accept_answer<B>(answer: Response<AnswerBody>) -> Response<ProxyBody<B>> {
    let upgrade = forward::upgrade(answer.headers())
        .filter(|_| answer.status() == StatusCode::SWITCHING_PROTOCOLS);
    let (mut head, body) = answer.into_parts();
    forward::rewrite_answer(&mut head, upgrade);
    Response::from_parts(head, ProxyBody::Answer(body))
}

fn bare_503<B>(close: bool) -> Response<ProxyBody<B>> {
    let text = if close {
        ""
    } else {
        "503: the server behind this address does not answer\n"
    };
    let mut answer = Response::new(ProxyBody::Text(Full::from(text)));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    if close {
        answer
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// The body of an answer: a target's, the fallback's or a line of text.
pub enum ProxyBody<B> {
    #[doc(hidden)]
    Answer(AnswerBody),
    Fallback(B),
    Text(Full<Bytes>),
}

impl<B> Body for ProxyBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Answer(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
            Self::Fallback(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Text(body) => Pin::new(body).poll_frame(cx).map_err(BoxError::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Answer(body) => body.is_end_stream(),
            Self::Fallback(body) => body.is_end_stream(),
            Self::Text(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Answer(body) => body.size_hint(),
            Self::Fallback(body) => body.size_hint(),
            Self::Text(body) => body.size_hint(),
        }
    }
}
