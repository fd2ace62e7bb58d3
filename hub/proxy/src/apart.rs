//! The proxy as a process of its own: routes by its REST API and kept in a file, pages for what has no answer.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::Map;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};
use tower::Service;
use url::Url;

use crate::error_pages::ErrorPages;
use crate::forward;
use crate::proxy::{Proxy, ProxyBody};
use crate::redirect::Redirect;
use crate::rest::Api;
use crate::routes::{NewRoute, RouteError, Routes};
use crate::serve::{ServeOptions, serve};
use crate::store::Store;

/// As configurable-http-proxy answers.
const HEALTH: &str = "/_chp_healthz";
/// How old the times of activity in the file may be.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// What a proxy apart is told when it begins.
#[derive(Debug, Default)]
pub struct Apart {
    /// Where requests without a route go; each further one for when those before cannot be connected.
    pub default_targets: Vec<Url>,
    pub error_pages: ErrorPages,
    pub redirect: Option<Redirect>,
    /// Routes begin with a host.
    pub by_host: bool,
    /// Keeps the routes.
    pub file: Option<PathBuf>,
    /// What users of the API must show.
    pub token: Option<String>,
    /// Names of cookies that the target at `/` alone sets.
    pub reserved_cookies: &'static [&'static str],
}

#[derive(Debug, thiserror::Error)]
pub enum ApartError {
    #[error(
        "the REST API listens on {0}, which others can reach: it needs a token in CONFIGPROXY_AUTH_TOKEN"
    )]
    NoToken(std::net::SocketAddr),
    #[error("the default target cannot be used")]
    Default(#[from] RouteError),
    #[error("could not read the routes of {0}")]
    File(PathBuf, #[source] io::Error),
    #[error("could not ask for an address of its own")]
    Address(#[from] io::Error),
}

impl Apart {
    /// Serves on `public`, and the API on `api`, until `shutdown`; then requests under way end and the routes are saved.
    pub async fn run(
        self,
        public: TcpListener,
        api: TcpListener,
        shutdown: impl Future<Output = ()>,
        options: ServeOptions,
    ) -> Result<(), ApartError> {
        let address = api.local_addr()?;
        if self.token.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(ApartError::NoToken(address));
        }
        let routes = Routes::new();
        let store = self.routes(&routes)?;
        let proxy =
            proxy(routes.clone(), self.error_pages, self.reserved_cookies).by_host(self.by_host);
        let (token, kept) = (self.token, store.clone());
        let rest = Arc::new(Api {
            routes,
            store,
            token,
        });
        let rest = tower::service_fn(move |request| {
            let rest = rest.clone();
            async move { Ok::<_, Infallible>(rest.answer(request).await) }
        });
        let shutdown = shutdown.shared();
        let of_api = ServeOptions {
            threads: 1,
            tls: None,
            ..options.clone()
        };
        let redirect = async {
            if let Some(redirect) = self.redirect {
                redirect.serve(shutdown.clone(), of_api.clone()).await;
            }
        };
        let served = async {
            tokio::join!(
                redirect,
                serve(public, Healthy(proxy), shutdown.clone(), options),
                serve(api, rest, shutdown.clone(), of_api.clone())
            )
        };
        tokio::select! {
            _ = served => {}
            () = save_regularly(kept.clone()) => {}
        }
        if let Some(store) = kept {
            store.save().await;
        }
        Ok(())
    }

    /// Those of the arguments, then those of the file, which a Hub has set.
    fn routes(&self, routes: &Routes) -> Result<Option<Store>, ApartError> {
        let mut default = None;
        if let Some(first) = self.default_targets.first() {
            let target = first.as_str().trim_end_matches('/');
            let data = Map::from_iter([("target".to_owned(), target.into())]);
            let new = NewRoute {
                targets: self.default_targets.clone(),
                data: Arc::new(data),
                last_activity: None,
            };
            default = Some(new.data.clone());
            routes.put("/", new)?;
        }
        let Some(file) = &self.file else {
            return Ok(None);
        };
        let store = Store::open(file.clone(), routes.clone(), default);
        let store = store.map_err(|error| ApartError::File(file.clone(), error))?;
        Ok(Some(store))
    }
}

fn proxy(
    routes: Routes,
    pages: ErrorPages,
    reserved_cookies: &'static [&'static str],
) -> Proxy<NotFound, Full<Bytes>> {
    let pages = Arc::new(pages);
    Proxy::new(routes, NotFound(pages.clone()))
        .reserve_cookies(reserved_cookies)
        .on_unavailable(move |what| {
            let pages = pages.clone();
            async move {
                pages
                    .answer(StatusCode::SERVICE_UNAVAILABLE, &what.uri)
                    .await
            }
        })
}

/// Never returns.
async fn save_regularly(store: Option<Store>) {
    let Some(store) = store else {
        return std::future::pending().await;
    };
    let mut ticks = interval(SAVE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        store.save().await;
    }
}

/// The proxy, and the answer to those who ask whether it lives, whatever its routes.
#[derive(Clone)]
struct Healthy<P>(P);

impl<P, B> Service<Request<Incoming>> for Healthy<P>
where
    P: Service<
            Request<Incoming>,
            Response = Response<ProxyBody<B>>,
            Error = Infallible,
            Future = BoxFuture<'static, Result<Response<ProxyBody<B>>, Infallible>>,
        >,
    B: Send + 'static,
{
    type Response = P::Response;
    type Error = Infallible;
    type Future = P::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path() != HEALTH {
            return self.0.call(request);
        }
        let body = Full::from(r#"{"status":"OK"}"#);
        let mut answer = Response::new(ProxyBody::Text(body));
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(CONTENT_TYPE, json);
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// The answer to what has no route.
#[derive(Clone)]
struct NotFound(Arc<ErrorPages>);

impl Service<Request<Incoming>> for NotFound {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let pages = self.0.clone();
        let upgrade = forward::upgrade(request.headers()).is_some();
        let uri = request.into_parts().0.uri;
        Box::pin(async move {
            if !upgrade {
                return Ok(pages.answer(StatusCode::NOT_FOUND, &uri).await);
            }
            // Programs do not read pages.
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = StatusCode::NOT_FOUND;
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
            Ok(answer)
        })
    }
}
