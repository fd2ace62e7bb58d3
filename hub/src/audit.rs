//! Who did what: each request that changes something is written down with whoever made it, in one with what it changes.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::Method;
use tracing::error;

use crate::access::principal::Principal;
use crate::app::App;
use crate::db::audit::{Open, Who};
use crate::peer::Client;

/// What changes nothing for anybody, or is the work of programs that nobody told to: reports of activity and of browsers,
/// and the exchange of a code that was written down when it was given. By the end of the route: a path may end with the
/// name of a server.
const NOT_TOLD: [&str; 3] = ["/activity", "/security/csp-report", "/oauth2/token"];

/// The most characters of a method or a path.
const LONGEST: usize = 2048;
/// Pages by which people come in or go.
const DONE_BY_GET: [&str; 3] = ["/login", "/oauth_callback", "/logout"];

/// Says who makes the request that this task works for; what is said first stays.
pub fn by(principal: &Principal, token_id: Option<i64>) {
    told(principal.kind(), principal.name(), token_id);
}

/// The same of a browser in which this user is logged in, or logs in just now.
pub fn by_user(name: &str) {
    told("user", name, None);
}

fn told(kind: &'static str, name: &str, token_id: Option<i64>) {
    if let Some(open) = Open::current() {
        open.by(Who {
            kind,
            name: name.to_owned(),
            token_id,
        });
    }
}

/// Around every request.
pub async fn record(app: &App, client: Client, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let changes = !reads || DONE_BY_GET.iter().any(|end| route.ends_with(end));
    if !changes || NOT_TOLD.iter().any(|end| route.ends_with(end)) {
        return next.run(request).await;
    }
    let (method, path) = (request.method().clone(), path.to_owned());
    write_down(app, client, (&method, &path), next.run(request)).await
}

/// Of `work` that a request begins: it is written down with what it changes, and how it is answered.
pub async fn write_down(
    app: &App,
    client: Client,
    (method, path): (&Method, &str),
    work: impl Future<Output = Response>,
) -> Response {
    let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
    let (method, path) = (cut(method.as_str()), cut(path));
    let open = Open::new(client.address.to_string(), method, path);
    let response = open.clone().hold(work).await;
    let status = response.status().as_u16().into();
    if let Err(error) = app.db.answered(&open, status).await {
        error!(%error, status, ?open, "Could not write down how a request was answered");
    }
    response
}
