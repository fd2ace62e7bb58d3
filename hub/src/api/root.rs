//! `GET /hub/api`: the first call of every single-user server, without authentication.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde_json::json;

use crate::app::JUPYTERHUB_VERSION;

pub async fn version() -> Response {
    let mut response = Json(json!({ "version": JUPYTERHUB_VERSION })).into_response();
    response.headers_mut().insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}
