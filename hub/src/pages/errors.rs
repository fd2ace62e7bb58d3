//! Pages for what has no page, and small fixed answers.

use std::time::{Duration, Instant};

use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};

use super::argument;
use crate::app::App;
use crate::error::AppError;
use crate::log_limit::LogLimit;
use crate::pages::see_other;

static CSP_REPORTS: LogLimit = LogLimit::new(10, Duration::from_secs(60));

/// GET /hub/error/:code?url=, where a proxy sends who it could not serve.
pub async fn by_code(Path(code): Path<u16>, RawQuery(query): RawQuery) -> AppError {
    let url = argument(query.as_deref(), "url").unwrap_or_default();
    let url: String = url.chars().take(200).collect();
    match StatusCode::from_u16(code) {
        Ok(StatusCode::NOT_FOUND) => not_found().await,
        Ok(status) if status.is_server_error() => unavailable(status),
        Ok(status) if status.is_client_error() => {
            AppError::new(status, format!("The request for {url} failed."))
        }
        _ => not_found().await,
    }
}

/// A server has a route but does not answer.
pub fn unavailable(status: StatusCode) -> AppError {
    AppError::new(status, "Your server does not answer.")
        .advise("It may be busy or starting again: wait a moment and reload. If it stays so, stop and start it on the home page.")
}

pub async fn not_found() -> AppError {
    AppError::not_found("There is no such page.").advise("Go back to the home page.")
}

pub async fn method_not_allowed() -> AppError {
    AppError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "This address does not do that.",
    )
}

/// GET /hub/health: this process serves.
pub async fn health() -> Response {
    ([(header::CACHE_CONTROL, "no-store")], "").into_response()
}

/// GET /hub/ready: this process can do its work. Restarting it would not bring the database back, so that is no part of
/// its health.
pub async fn ready(State(app): State<App>) -> Result<Response, AppError> {
    if app.db.answers().await {
        return Ok(health().await);
    }
    Err(AppError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "The database does not answer.",
    ))
}

/// GET /hub/logo: named by JupyterLab and Notebook.
pub async fn logo(State(app): State<App>) -> Response {
    see_other(&crate::assets::url(&app.urls.hub, "logo.svg"))
}

/// GET /hub/static/:name
pub async fn asset(
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    match crate::assets::serve(&name, query.as_deref(), &headers) {
        Some(response) => Ok(response),
        None => Err(not_found().await),
    }
}

/// POST /hub/security/csp-report: what a browser refused to load. Logged short and seldom: anybody can send anything
/// here.
pub async fn csp_report(
    State(app): State<App>,
    body: axum::body::Body,
) -> Result<StatusCode, AppError> {
    let report = crate::auth::posted::read(body, 16 * 1024).await?;
    app.metrics.reported();
    let Some(left_out) = CSP_REPORTS.admit(Instant::now()) else {
        return Ok(StatusCode::NO_CONTENT);
    };
    let report: String = String::from_utf8_lossy(&report)
        .chars()
        .take(300)
        .flat_map(char::escape_debug)
        .collect();
    tracing::warn!(
        report,
        left_out,
        "A browser reports a violation of the content security policy"
    );
    Ok(StatusCode::NO_CONTENT)
}
