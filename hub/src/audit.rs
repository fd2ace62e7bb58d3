//! Who did what: each request that changes something is written down with whoever made it, as soon as it is answered.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{Extensions, Method};
use tracing::error;

use crate::access::principal::Principal;
use crate::app::App;
use crate::db::audit::Deed;
use crate::db::now;
use crate::db::users::User;
use crate::peer::Client;

/// What changes nothing for anybody, or is the work of programs that nobody told to: reports of activity and of browsers,
/// and the exchange of a code that was written down when it was given.
const NOT_TOLD: [&str; 3] = ["/activity", "/security/csp-report", "/oauth2/token"];

/// The most characters of a method or a path.
const LONGEST: usize = 2048;
/// Pages by which people come in or go.
const DONE_BY_GET: [&str; 3] = ["/login", "/oauth_callback", "/logout"];

/// Who makes the request, as soon as that is known.
#[derive(Debug, Clone, Default)]
struct Actor(Arc<OnceLock<Who>>);

#[derive(Debug, Clone)]
struct Who {
    kind: &'static str,
    name: String,
    token_id: Option<i64>,
}

impl Who {
    fn in_browser(user: &User) -> Self {
        Self {
            kind: "user",
            name: user.name.clone(),
            token_id: None,
        }
    }
}

/// Says who makes a request; what is said first stays.
pub fn by(extensions: &Extensions, principal: &Principal, token_id: Option<i64>) {
    if let Some(actor) = extensions.get::<Actor>() {
        let _ = actor.0.set(Who {
            kind: principal.kind(),
            name: principal.name().to_owned(),
            token_id,
        });
    }
}

/// The same of a browser that is logged in.
pub fn by_user(extensions: &Extensions, user: &User) {
    if let Some(actor) = extensions.get::<Actor>() {
        let _ = actor.0.set(Who::in_browser(user));
    }
}

/// Says in the answer to a login who has come in: the request was nobody's yet.
pub fn entered(response: &mut Response, user: &User) {
    response.extensions_mut().insert(Who::in_browser(user));
}

/// Around every request.
pub async fn record(
    State(app): State<App>,
    client: Client,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let changes = !reads || DONE_BY_GET.iter().any(|end| path.ends_with(end));
    if !changes || NOT_TOLD.iter().any(|end| path.ends_with(end)) {
        return next.run(request).await;
    }
    let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
    let (method, path) = (cut(request.method().as_str()), cut(path));
    let actor = Actor::default();
    request.extensions_mut().insert(actor.clone());
    let response = next.run(request).await;
    // Of nobody's requests there is nothing to tell.
    if let Some(who) = actor.0.get().or_else(|| response.extensions().get()) {
        let deed = Deed {
            at: now(),
            kind: who.kind.to_owned(),
            name: who.name.clone(),
            token_id: who.token_id,
            address: client.address.to_string(),
            method,
            path,
            status: response.status().as_u16().into(),
        };
        if let Err(error) = app.db.add_deed(&deed).await {
            error!(%error, ?deed, "Could not write down who did what");
        }
    }
    response
}
