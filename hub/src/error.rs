//! What can go wrong in a request: one type, shown as a page or as JSON, logged once.
//!
//! Handlers return [`AppError`]; [`render`], a layer around all routes, decides how it looks.

use std::error::Error as StdError;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;

use crate::app::App;
use crate::chain::chain;
use crate::headers::text;
use crate::templates::{self, ErrorPage, Page};

#[derive(Debug)]
pub struct AppError {
    status: StatusCode,
    message: String,
    advice: Option<String>,
    retry_after: Option<u64>,
    location: Option<String>,
}

/// Rides on a response until [`render`] writes its body.
#[derive(Debug, Clone)]
struct Failure {
    message: String,
    advice: Option<String>,
}

impl AppError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            advice: None,
            retry_after: None,
            location: None,
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub fn too_many(message: impl Into<String>, retry_after: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(retry_after)
    }

    /// In how many seconds to try again.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// Not an answer but a way to it.
    pub fn see_other(location: String) -> Self {
        Self {
            location: Some(location),
            ..Self::new(StatusCode::FOUND, "")
        }
    }

    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self {
            advice: Some(advice.into()),
            ..self
        }
    }

    /// For a page that shows it in its own words: what to answer and to say.
    pub fn into_parts(self) -> (StatusCode, String) {
        (self.status, self.message)
    }

    /// Something that the visitor cannot help: its cause is logged here and not told.
    pub fn internal(attempted: &str, cause: &(dyn StdError + 'static)) -> Self {
        tracing::error!(error = %chain(cause), "Could not {attempted}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong in the Hub. Its log has the details.")
            .advise("Try again in a moment; if it stays, tell your administrator the time at which it happened.")
    }
}

impl From<sqlx::Error> for AppError {
    fn from(error: sqlx::Error) -> Self {
        // PostgreSQL has no text with a NUL in it (`character_not_in_repertoire`).
        let code = error.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some("22021") {
            return Self::bad_request("A NUL character stands in what was sent.");
        }
        Self::internal("use the database", &error)
    }
}

impl From<crate::auth::password::Error> for AppError {
    fn from(error: crate::auth::password::Error) -> Self {
        Self::internal("check a password", &error)
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(location) = self
            .location
            .and_then(|location| HeaderValue::try_from(location).ok())
        {
            response.headers_mut().insert(header::LOCATION, location);
            return response;
        }
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Failure {
            message: self.message,
            advice: self.advice,
        });
        response
    }
}

/// Gives every [`AppError`] its body: JSON for the API and for who prefers it ([`wants_json`]), a page for everybody else.
pub fn render(app: &App, json: bool, mut response: Response) -> Response {
    let status = response.status();
    let failure = response.extensions_mut().remove::<Failure>();
    let Some(failure) = failure.or_else(|| rejected(&response)) else {
        return response;
    };
    let body = if json {
        let body = json!({ "status": status.as_u16(), "message": failure.message });
        (status, axum::Json(body)).into_response()
    } else {
        let page = ErrorPage {
            page: Page {
                hub: app.urls.hub.clone(),
                ..Page::default()
            },
            status: status.as_u16(),
            title: title(status).to_owned(),
            message: failure.message,
            advice: failure.advice,
        };
        templates::respond(status, &page)
    };
    let (parts, content) = body.into_parts();
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response.headers_mut().extend(parts.headers);
    *response.body_mut() = content;
    response
}

/// What axum itself refuses, such as a path that is not UTF-8, it answers in plain text; the Hub has no such answers.
fn rejected(response: &Response) -> Option<Failure> {
    let kind = response.headers().get(header::CONTENT_TYPE)?;
    let plain = kind.as_bytes().starts_with(b"text/plain");
    (plain && response.status().is_client_error()).then(|| Failure {
        message: "This address does not read.".to_owned(),
        advice: None,
    })
}

/// Whether a request comes from a program: to the API, or asking for JSON and not for HTML.
pub fn wants_json(app: &App, path: &str, headers: &HeaderMap) -> bool {
    let accept = text(headers, header::ACCEPT).unwrap_or_default();
    is_api(app, path) || (accept.contains("json") && !accept.contains("text/html"))
}

/// Whether a path is of the API, but for the one of its addresses that people visit.
pub fn is_api(app: &App, path: &str) -> bool {
    let rest = path.strip_prefix(&app.urls.hub).unwrap_or_default();
    (rest == "api" || rest.starts_with("api/")) && rest != "api/oauth2/authorize"
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "This request makes no sense",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::PAYLOAD_TOO_LARGE => "Too large",
        StatusCode::TOO_MANY_REQUESTS => "Too many tries",
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "The server does not answer",
        other => other.canonical_reason().unwrap_or("Error"),
    }
}
