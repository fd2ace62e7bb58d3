//! The admin page, health and metrics, at a port of their own.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{Html, IntoResponse, Redirect as To, Response};
use axum::routing::get;
use axum::{Json, Router};
use carrel_service::secured;
use serde::Serialize;

use crate::health::Health;
use crate::plan::Problem;
use crate::rule::{Action, Backend, Kind, Path as RulePath, Redirect, Rewrite, Rule};
use crate::stats::Told;
use crate::table::{Entry, Tables};

#[derive(Clone)]
pub struct Admin {
    pub tables: Tables,
    pub health: Arc<Health>,
}

/// Every path of the admin port.
pub fn router(admin: Admin) -> Router {
    Router::new()
        .route("/", get(async || To::temporary("/ambassador/v0/diag/")))
        .route("/healthz", get(async || "ok\n"))
        .route("/ambassador/v0/check_alive", get(async || "ok\n"))
        .route("/ambassador/v0/check_ready", get(ready))
        .route(
            "/ambassador/v0/diag",
            get(async || To::temporary("/ambassador/v0/diag/")),
        )
        .route("/ambassador/v0/diag/", get(page))
        .route(
            "/ambassador/v0/diag.json",
            get(async |State(admin): State<Admin>| Json(view(&admin))),
        )
        .route("/metrics", get(metrics))
        .route("/static/{name}", get(asset))
        .layer(middleware::from_fn(secured))
        .with_state(admin)
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match admin.health.is_ready() {
        true => (StatusCode::OK, "ok\n"),
        false => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the routes of the cluster are not read, or this ends\n",
        ),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match admin.tables.stats().text() {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        // The look is the Hub's.
        "carrel.css" => ("text/css", include_str!("../../hub/static/carrel.css")),
        "gateway.css" => ("text/css", include_str!("../static/gateway.css")),
        "logo.svg" => (
            "image/svg+xml",
            include_str!("../../hub/templates/logo.svg"),
        ),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

async fn page(State(admin): State<Admin>) -> Response {
    match view(&admin).render() {
        Ok(page) => Html(page).into_response(),
        Err(error) => {
            tracing::error!(%error, "The admin page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What the page shows, and the JSON.
#[derive(Serialize, Template)]
#[template(path = "diag.html")]
struct View {
    ready: bool,
    routes: Vec<Line>,
    problems: Vec<Shown>,
    unmatched: u64,
}

#[derive(Serialize)]
struct Line {
    host: String,
    path: String,
    /// What else a request must have.
    further: Vec<String>,
    source: String,
    kind: &'static str,
    targets: Vec<String>,
    timeout: String,
    state: &'static str,
    /// A class of the style sheet.
    look: &'static str,
    requests: u64,
    errors: u64,
    last_error: Option<String>,
    last_error_at: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    about: String,
    text: String,
    advice: &'static str,
}

fn view(admin: &Admin) -> View {
    let table = admin.tables.now();
    let shown = |problem: &Problem| Shown {
        about: problem.about.clone(),
        text: problem.text.clone(),
        advice: problem.advice,
    };
    View {
        ready: admin.health.is_ready(),
        routes: table.entries.iter().map(|entry| line(entry)).collect(),
        problems: table.problems.iter().map(shown).collect(),
        unmatched: admin.tables.stats().unmatched.get(),
    }
}

fn line(entry: &Entry) -> Line {
    let rule = &entry.rule;
    let told = entry.stats.told();
    let (state, look) = state(entry, &told);
    let error = told.last_error;
    Line {
        host: rule.matches.host.to_string(),
        path: match &rule.matches.path {
            RulePath::Prefix(path) => path.clone(),
            RulePath::Exact(path) => format!("{path} exactly"),
        },
        further: further(rule),
        source: rule.origin.to_string(),
        kind: match rule.origin.kind {
            Kind::BuiltIn => "built in",
            Kind::Mapping => "annotation",
            Kind::HttpRoute => "HTTPRoute",
        },
        targets: targets(rule),
        timeout: match rule.timeout {
            Some(limit) => format!("{limit:?}"),
            None => "none".to_owned(),
        },
        state,
        look,
        requests: told.requests,
        errors: told.errors,
        last_error: error.as_ref().map(|(_, text)| text.clone()),
        last_error_at: error.map(|(at, _)| format!("{at:.0}")),
    }
}

fn state(entry: &Entry, told: &Told) -> (&'static str, &'static str) {
    let missing = entry.targets.iter().any(Option::is_none);
    match told.works {
        _ if missing => ("leads nowhere", "bad"),
        Some(true) => ("answers", "good"),
        Some(false) => ("fails", "bad"),
        None => ("not used yet", ""),
    }
}

fn further(rule: &Rule) -> Vec<String> {
    let matches = &rule.matches;
    let method = matches.method.iter().map(ToString::to_string);
    let headers = matches.headers.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())),
        None => format!("{name}"),
    });
    let query = matches
        .query
        .iter()
        .map(|(name, value)| format!("?{name}={value}"));
    method.chain(headers).chain(query).collect()
}

fn targets(rule: &Rule) -> Vec<String> {
    let backends = match &rule.action {
        Action::Redirect(redirect) => return vec![moved(redirect)],
        Action::Forward(backends) => backends,
    };
    let path = match &rule.rewrite {
        Some(Rewrite::Prefix(path)) => format!(" as {path}"),
        Some(Rewrite::Whole(path)) => format!(" as {path} alone"),
        None => String::new(),
    };
    let one = |backend: &Backend| {
        let weight = match backends.len() {
            1 => String::new(),
            _ => format!(" ×{}", backend.weight),
        };
        format!("{}{path}{weight}", backend.name)
    };
    backends.iter().map(one).collect()
}

fn moved(redirect: &Redirect) -> String {
    let host = redirect.host.as_deref().unwrap_or("the same host");
    format!("redirects to {host} ({})", redirect.status.as_u16())
}
