//! `/user/...` of a server that does not run, and links that name no user.

use std::borrow::Cow;

use axum::extract::{OptionalFromRequestParts, OriginalUri, RawQuery, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{argument, see_other, with_next};
use crate::access::scopes::Target;
use crate::app::App;
use crate::auth::caller::Login;
use crate::db::servers::{Server, State as RunState};
use crate::error::{AppError, wants_json};
use crate::headers::text;
use crate::names::{UserName, no_such_user};
use crate::servers::split_failure;
use crate::templates::{self, NotRunningPage};

/// How often a request may come back here from a server that the Hub believes to run.
const MOST_REDIRECTS: u32 = 4;

/// Anything outside `/hub/` that has no route: on to the Hub (PrefixRedirectHandler of JupyterHub). Programs that
/// talk to a server get their answer at once, because they may not follow.
pub async fn outside(
    State(app): State<App>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let path = uri.path();
    let Some(rest) = path.strip_prefix(&app.urls.base) else {
        return Ok(see_other(&to_hub(&app, &app.urls.hub)));
    };
    let changes = !matches!(method, Method::GET | Method::HEAD);
    if rest.starts_with("user/") && (changes || is_of_program(&app, path, &headers)) {
        return Ok(for_program(&app, path).await);
    }
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let there = format!("{}{}{query}", app.urls.hub, rest.trim_start_matches('/'));
    Ok(AppError::see_other(to_hub(&app, &there)).into_response())
}

/// The whole address where it is known: the Hub's cookies do not come along to the hosts of servers.
fn to_hub(app: &App, path: &str) -> String {
    app.urls.full(path).unwrap_or_else(|| path.to_owned())
}

/// /hub/user/:user/...
pub async fn user(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, AppError> {
    let (mut parts, _) = request.into_parts();
    let hub_less = uri.path().strip_prefix(&app.urls.hub).unwrap_or_default();
    let asked = format!("{}{hub_less}", app.urls.base);
    // Before the login, which a page's own requests have to prove: this answer needs none.
    if is_of_program(&app, &asked, &headers) {
        return Ok(for_program(&app, &asked).await);
    }
    let login =
        <Login as OptionalFromRequestParts<App>>::from_request_parts(&mut parts, &app).await?;
    let Some(login) = login else {
        return Ok(see_other(&with_next(
            &format!("{}login", app.urls.hub),
            Some(&with_query(&uri, uri.path())),
        )));
    };
    let Found {
        owner,
        server,
        rest,
    } = find(&app, &login, hub_less).await?;
    let name = server.as_ref().map_or("", |server| server.name.as_str());
    // The address that the server's route has, whatever way it was written.
    let asked = format!("{}{rest}", app.urls.server(&owner, name));
    let next = with_query(&uri, &asked);
    let state = server
        .as_ref()
        .map_or(RunState::Stopped, |server| server.state);
    match state {
        RunState::Ready => back_to_server(&uri, &app.urls.public(&asked)),
        RunState::Pending => {
            let pending = app.urls.page("spawn-pending", &owner, name);
            Ok(see_other(&with_next(&pending, Some(&next))))
        }
        RunState::Stopped | RunState::Stopping => {
            let failure = server.as_ref().and_then(|server| server.failure.clone());
            Ok(not_running(
                &app,
                &login,
                &owner,
                name,
                failure.as_deref(),
                &next,
            ))
        }
    }
}

fn not_running(
    app: &App,
    login: &Login,
    owner: &str,
    name: &str,
    failure: Option<&str>,
    next: &str,
) -> Response {
    let target = Target::Server {
        user: owner,
        server: name,
    };
    let may_start = login.scopes.holds("start:servers", target);
    let spawn_url = with_next(&app.urls.page("spawn", owner, name), Some(next));
    let page = NotRunningPage {
        page: login.page(app),
        owner: owner.to_owned(),
        spawn_url: may_start.then_some(spawn_url),
        failure: failure.map(|failure| split_failure(failure).0.to_owned()),
    };
    templates::respond(StatusCode::FAILED_DEPENDENCY, &page)
}

/// GET /hub/user-redirect/...: the same page on the visitor's own server.
pub async fn redirect(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
    login: Login,
) -> Result<Response, AppError> {
    let prefix = format!("{}user-redirect/", app.urls.hub);
    let rest = uri.path().strip_prefix(&prefix).unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!(
        "{}{}{query}",
        app.urls.server(&login.user().name, ""),
        rest.trim_start_matches('/')
    );
    let running = app
        .db
        .server(&login.user().name, "")
        .await?
        .is_some_and(|server| server.state == RunState::Ready);
    if running {
        return Ok(see_other(&app.urls.public(&target)));
    }
    Ok(see_other(&with_next(
        &app.urls.page("spawn", &login.user().name, ""),
        Some(&target),
    )))
}

/// Whose server an address belongs to, and which of its pages it is.
struct Found {
    owner: UserName,
    server: Option<Server>,
    rest: String,
}

/// Reads a path `user/<name>/[<server>/]...`. A named server counts only if it exists, because the same path may be a
/// page of the default server.
async fn find(app: &App, login: &Login, path: &str) -> Result<Found, AppError> {
    let mut words = path.splitn(3, '/').skip(1);
    let owner = decode(words.next().unwrap_or_default());
    let owner = UserName::normalize(&owner).map_err(|_| no_such_user())?;
    let rest = words.next().unwrap_or_default();
    let (name, page) = rest.split_once('/').unwrap_or((rest, ""));
    let name = decode(name);
    let mut server = None;
    if !name.is_empty() {
        server = app.db.server(&owner, &name).await?;
    }
    let rest = if server.is_some() { page } else { rest };
    if server.is_none() {
        server = app.db.server(&owner, "").await?;
    }
    let target = Target::Server {
        user: &owner,
        server: server.as_ref().map_or("", |server| &server.name),
    };
    if !login.scopes.holds("access:servers", target) {
        // The same words whether or not this user or server exists.
        return Err(AppError::not_found(
            "There is no such page, or it is not yours to see.",
        ));
    }
    Ok(Found {
        rest: rest.to_owned(),
        owner,
        server,
    })
}

fn decode(word: &str) -> Cow<'_, str> {
    percent_decode_str(word).decode_utf8_lossy()
}

/// The route of a server that runs: another replica may have just made it. Ends after a few rounds (jupyterhub,
/// `_redirect_to_user_server`).
fn back_to_server(uri: &Uri, asked: &str) -> Result<Response, AppError> {
    let rounds: u32 = argument(uri.query(), "redirects")
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(0);
    if rounds >= MOST_REDIRECTS {
        let error = AppError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server runs, but requests do not reach it.",
        );
        return Err(error.advise("Stop it on the home page and start it again."));
    }
    let others = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .filter(|(key, _)| key != "redirects");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(others)
        .append_pair("redirects", &(rounds + 1).to_string())
        .finish();
    Ok(see_other(&format!("{asked}?{query}")))
}

fn with_query(uri: &Uri, path: &str) -> String {
    uri.query()
        .map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

/// Whether nobody would see a page in answer: `/user/<name>/[<server>/]api/...`, a client that wants JSON, a websocket,
/// or what a page fetches for itself, be it data, a script or an image (Fetch Metadata).
fn is_of_program(app: &App, path: &str, headers: &HeaderMap) -> bool {
    let rest = path
        .strip_prefix(&app.urls.base)
        .and_then(|path| path.strip_prefix("user/"))
        .unwrap_or_default();
    let fetched = text(headers, "sec-fetch-mode").is_some_and(|mode| mode != "navigate");
    rest.split('/').skip(1).take(2).any(|word| word == "api")
        || fetched
        || headers.contains_key(http::header::UPGRADE)
        || wants_json(app, path, headers)
}

/// What a program is told whose request the proxy led here. Where the server runs after all, as when a proxy has just begun
/// anew and knows no routes yet, it is led there from now on.
async fn for_program(app: &App, path: &str) -> Response {
    let runs = match crate::servers::find_late(app, path) {
        Some(found) => found.await,
        None => false,
    };
    if !runs {
        return not_running_json();
    }
    AppError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "The way to the server was just opened. Try again.",
    )
    .retry_after(1)
    .into_response()
}

/// 424 makes JupyterLab say that its server does not run (`_fail_api_request` of JupyterHub).
fn not_running_json() -> Response {
    let body = json!({ "status": 424, "message": "The server is not running. Start it on the Hub's home page." });
    (StatusCode::FAILED_DEPENDENCY, axum::Json(body)).into_response()
}
