//! The page of the usage report, its text and its metrics.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use carrel_service::{in_full, secured};

use super::{Sent, Usage, metrics};

const JSON: &str = "application/json";

/// Every path.
pub fn router(usage: Arc<Usage>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/usage.json", get(now))
        .route("/sent.json", get(sent))
        .route("/metrics", get(text))
        .route("/healthz", get(async || "ok\n"))
        .route("/static/{name}", get(asset))
        .layer(middleware::from_fn(secured))
        .with_state(usage)
}

#[derive(Template)]
#[template(path = "usage.html")]
struct Page {
    /// The report, or why there is none.
    report: Result<String, String>,
    send_to: Option<String>,
    hours: u64,
    sent: Option<Shown>,
}

/// An attempt to send it.
struct Shown {
    at: String,
    is_taken: bool,
    has_text: bool,
    answer: String,
}

async fn page(State(usage): State<Arc<Usage>>) -> Response {
    let found = usage.look().await;
    let status = match &found {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let page = Page {
        report: match found {
            Ok(found) => Ok(found.text.clone()),
            Err(error) => Err(in_full(&error)),
        },
        send_to: usage.options.send_to.as_ref().map(ToString::to_string),
        hours: usage.options.every.as_secs() / 3600,
        sent: usage.sending().last.as_ref().map(shown),
    };
    match page.render() {
        Ok(page) => (status, Html(page)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn shown(sent: &Sent) -> Shown {
    Shown {
        at: format!("{:.0}", sent.at),
        is_taken: sent.is_taken(),
        has_text: sent.text.is_some(),
        answer: match &sent.answer {
            Ok(status) => format!("status {status}"),
            Err(why) => why.clone(),
        },
    }
}

/// What would be sent.
async fn now(State(usage): State<Arc<Usage>>) -> Response {
    match usage.look().await {
        Ok(found) => ([(header::CONTENT_TYPE, JSON)], found.text.clone()).into_response(),
        Err(error) => unavailable(&error),
    }
}

/// What was sent last, or was to be.
async fn sent(State(usage): State<Arc<Usage>>) -> Response {
    match usage.sending().last.and_then(|sent| sent.text) {
        Some(text) => ([(header::CONTENT_TYPE, JSON)], text).into_response(),
        None => (StatusCode::NOT_FOUND, "nothing was sent\n").into_response(),
    }
}

async fn text(State(usage): State<Arc<Usage>>) -> Response {
    let found = match usage.look().await {
        Ok(found) => found,
        Err(error) => return unavailable(&error),
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics::text(&found.report, &usage.sending()) {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn unavailable(error: &dyn std::error::Error) -> Response {
    let text = format!("{}\n", in_full(error));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        // The look is the Hub's.
        "carrel.css" => ("text/css", include_str!("../../../hub/static/carrel.css")),
        // The report is shown whole.
        "usage.css" => ("text/css", "pre.log { max-height: none; }\n"),
        "logo.svg" => (
            "image/svg+xml",
            include_str!("../../../hub/templates/logo.svg"),
        ),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}
