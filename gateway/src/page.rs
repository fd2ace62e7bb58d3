//! The answers of the gateway itself. They name the route and what is wrong with it, and no address behind it.

use askama::Template;
use bytes::Bytes;
use carrel_proxy::{Failure, FailureKind};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::rule::{Kind, Rule};

/// What a client is told.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct Told {
    pub status: StatusCode,
    title: &'static str,
    message: String,
    advice: &'static str,
}

const WAIT: &str = "Try again in a moment. If it stays so, tell whoever runs this service.";

impl Told {
    /// No route takes the request.
    pub fn nothing(path: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            title: "Not found",
            message: format!("Nothing is at {} here.", shortened(path)),
            advice: "Look whether the address is right.",
        }
    }

    /// A path with `..` in it, which clients take out before they send it.
    pub fn dots() -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            title: "Not a path",
            message: "Paths with the segments `.` and `..` are not passed on.".to_owned(),
            advice: "Ask for the path without them.",
        }
    }

    /// A route leads nowhere. The Gateway API says 500 of an HTTPRoute.
    pub fn misled(rule: &Rule) -> Self {
        Self {
            status: match rule.origin.kind {
                Kind::HttpRoute => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            title: "This leads nowhere",
            message: format!("The route {} leads to no service.", path(rule)),
            advice: "Tell whoever runs this service: the admin page of the gateway says why.",
        }
    }

    pub fn failed(rule: &Rule, failure: &Failure) -> Self {
        let path = path(rule);
        let (title, message) = match failure.kind {
            FailureKind::Down => (
                "The service is away",
                format!("The service behind {path} could not be reached."),
            ),
            FailureKind::Broken => (
                "The service broke off",
                format!("The service behind {path} broke off before it answered."),
            ),
            FailureKind::Late => {
                let limit = rule.timeout.unwrap_or_default();
                (
                    "The service takes too long",
                    format!("The service behind {path} did not answer within {limit:?}."),
                )
            }
        };
        Self {
            status: status(failure.kind),
            title,
            message,
            advice: WAIT,
        }
    }
}

fn path(rule: &Rule) -> String {
    shortened(rule.matches.path.text())
}

fn shortened(path: &str) -> String {
    let end = path.floor_char_boundary(200);
    match end == path.len() {
        true => path.to_owned(),
        false => format!("{}…", &path[..end]),
    }
}

/// A page for people, one line for programs.
pub fn answer(wants_page: bool, told: &Told) -> Response<Full<Bytes>> {
    let page = told.render().ok().filter(|_| wants_page);
    let kind = match page {
        Some(_) => "text/html; charset=utf-8",
        None => "text/plain; charset=utf-8",
    };
    let line = || format!("{}: {}\n", told.status.as_u16(), told.message);
    let mut answer = Response::new(Full::from(page.unwrap_or_else(line)));
    *answer.status_mut() = told.status;
    let headers = answer.headers_mut();
    // The style is in the page: nothing else is here to load it from.
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if told.status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    answer
}

/// What a failure is called in HTTP (RFC 9110, 15.6).
fn status(kind: FailureKind) -> StatusCode {
    match kind {
        FailureKind::Down => StatusCode::SERVICE_UNAVAILABLE,
        FailureKind::Broken => StatusCode::BAD_GATEWAY,
        FailureKind::Late => StatusCode::GATEWAY_TIMEOUT,
    }
}
