//! What is done around every request: bodies for errors, headers on each answer, one log line.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::app::App;
use crate::error::AppError;
use crate::login;
use crate::templates::{self, ErrorPage, Page};
use crate::visitor::{COOKIE, cookie};

/// Pages have no inline script or style, and load nothing from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Gives every [`AppError`] its body: JSON for programs, a page for people, or the way to the login.
pub async fn render(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let is_page_asked = request.method() == Method::GET && !is_part(&request);
    let place = request.uri().path_and_query().map(ToString::to_string);
    let is_api = path.starts_with(&format!("{}tfjobs/api/", app.settings.base));
    let session = cookie(request.headers(), COOKIE).and_then(|id| app.sessions.find(&id));
    let mut response = next.run(request).await;
    let error = match response.extensions_mut().remove::<AppError>() {
        Some(error) => error,
        None if response.status() == StatusCode::METHOD_NOT_ALLOWED => {
            AppError::new(response.status(), "This address does not do that.")
        }
        // What axum itself refuses, it answers in plain text; no answer of this program is such an error.
        None if is_plain_refusal(&response) && !is_api => {
            AppError::new(response.status(), "This address does not read.")
        }
        None => return response,
    };
    let mut page = Page::new(&app.settings, None, "");
    if let Some(session) = session {
        page.user = Some(session.user.name.clone());
        page.xsrf = session.xsrf;
    }
    let body = match error {
        AppError::LogIn if is_page_asked && !is_api => {
            let next = place.unwrap_or_else(|| app.settings.base.clone());
            return Redirect::to(&login::address(&app.settings, &next)).into_response();
        }
        AppError::LogIn => told(
            Page::new(&app.settings, None, ""),
            is_api,
            StatusCode::UNAUTHORIZED,
            "You are not logged in, or not any more.",
            Some("Load the page anew to log in.".to_owned()),
        ),
        AppError::Told {
            status,
            message,
            advice,
        } => told(page, is_api, status, &message, advice),
    };
    let (parts, content) = body.into_parts();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().extend(parts.headers);
    *response.body_mut() = content;
    response
}

/// Whether a script asks for a part of a page, or for events.
fn is_part(request: &Request) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let accept = request.headers().get(header::ACCEPT);
    login::argument(Some(query), "part").is_some()
        || accept.is_some_and(|accept| accept.as_bytes().starts_with(b"text/event-stream"))
}

fn is_plain_refusal(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_plain = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    is_plain && response.status().is_client_error()
}

fn told(
    page: Page,
    is_api: bool,
    status: StatusCode,
    message: &str,
    advice: Option<String>,
) -> Response {
    if is_api {
        let body = json!({ "status": status.as_u16(), "message": message });
        return (status, axum::Json(body)).into_response();
    }
    let title = match status {
        StatusCode::BAD_REQUEST => "This request makes no sense",
        StatusCode::UNAUTHORIZED => "Not logged in",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::CONFLICT => "Something has changed",
        StatusCode::PAYLOAD_TOO_LARGE => "Too large",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "Something is away",
        other => other.canonical_reason().unwrap_or("Error"),
    };
    let page = ErrorPage {
        page,
        status: status.as_u16(),
        title: title.to_owned(),
        message: message.to_owned(),
        advice,
    };
    templates::respond(status, &page)
}

/// What browsers may do with an answer.
pub async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // An address may hold a code of OAuth.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let fresh = HeaderValue::from_static("no-store");
    headers.entry(header::CACHE_CONTROL).or_insert(fresh);
    response
}

/// One line for who looks closely (`RUST_LOG=debug`), without the query: that may hold a code.
pub async fn log(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().escape_default().to_string();
    let response = next.run(request).await;
    let (status, duration_ms) = (response.status().as_u16(), begun.elapsed().as_millis());
    tracing::debug!(%method, path, status, duration_ms, "Request");
    response
}
