//! Every path of the HTTP port.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::decompression::RequestDecompressionLayer;

use crate::auth::protect;
use crate::service::Service;

mod answer;
pub mod kserve;
mod openapi;
mod repository;
pub mod serve;
pub mod tensorflow;
mod tensorflow_body;

/// The routes of both protocols, of health, and of metrics.
pub fn router(service: Arc<Service>) -> Router {
    let models = Router::new()
        .route("/", get(kserve::models::server))
        .route("/health/live", get(kserve::models::live))
        .route("/health/ready", get(kserve::models::ready))
        .route("/models/stats", get(kserve::models::all_statistics))
        .route("/models/{model}", get(kserve::models::metadata))
        .route("/models/{model}/ready", get(kserve::models::model_ready))
        .route("/models/{model}/infer", post(kserve::infer))
        .route("/models/{model}/stats", get(kserve::models::statistics))
        .route(
            "/models/{model}/versions/{version}",
            get(kserve::models::metadata),
        )
        .route(
            "/models/{model}/versions/{version}/ready",
            get(kserve::models::model_ready),
        )
        .route(
            "/models/{model}/versions/{version}/infer",
            post(kserve::infer),
        )
        .route(
            "/models/{model}/versions/{version}/stats",
            get(kserve::models::statistics),
        )
        .route(
            "/trace/setting",
            get(kserve::trace::get_all).post(kserve::trace::change_all),
        )
        .route(
            "/models/{model}/trace/setting",
            get(kserve::trace::get).post(kserve::trace::change_one),
        )
        .route("/repository/index", post(repository::index))
        .route("/repository/models/{model}/load", post(repository::load))
        .route(
            "/repository/models/{model}/unload",
            post(repository::unload),
        );
    let tokens = service.tokens.clone();
    let router = Router::new()
        .route(
            "/v1/models/{*path}",
            get(tensorflow::get).post(tensorflow::post),
        )
        .route("/model/{*path}", post(tensorflow::older))
        .route("/", get(repository::models))
        .nest("/v2", models)
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi::document))
        .fallback(answer::nothing)
        .method_not_allowed_fallback(answer::no_method)
        // The limit of bodies holds for what they are without compression.
        .layer(RequestDecompressionLayer::new())
        .with_state(service);
    let open = |path: &str| matches!(path, "/healthz" | "/readyz" | "/v2/health/ready");
    protect(router, tokens, open, || {
        let challenge = [(WWW_AUTHENTICATE, "Bearer")];
        (challenge, answer::unauthorized()).into_response()
    })
}

async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, &'static str) {
    match service.is_ready() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match service.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
