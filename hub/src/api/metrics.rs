//! GET /hub/metrics, for Prometheus.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header;

use crate::access::permit::{Hub, ReadMetrics};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::error::AppError;

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub async fn metrics(State(app): State<App>, caller: Caller) -> Result<Response, AppError> {
    caller.permit(ReadMetrics(Hub))?;
    let text = app.metrics.text(&app.db).await;
    let text = text.map_err(|error| AppError::internal("tell the metrics", &error))?;
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}
