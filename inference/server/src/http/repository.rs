//! KServe's repository extension over HTTP: which models there are, to load and to unload them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Refusal, document, read};
use crate::service::Service;

pub async fn index(State(service): State<Arc<Service>>, body: Body) -> Result<Response, Refusal> {
    let body = read(body, &service).await?;
    let body: Value = serde_json::from_slice(&body.bytes).unwrap_or_default();
    let only_ready = body["ready"].as_bool().unwrap_or(false);
    let entries = service.models.entries();
    let mut all = Vec::new();
    for (name, entry) in &*entries {
        for (number, version) in &*entry.versions() {
            let (state, reason) = version.state();
            if !only_ready || state == "READY" {
                let version = number.to_string();
                all.push(
                    json!({"name": name, "version": version, "state": state, "reason": reason}),
                );
            }
        }
    }
    Ok(document(&Value::Array(all)))
}

pub async fn load(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
) -> Result<Response, Refusal> {
    service.models.load_on_demand(&model).await?;
    Ok(document(&json!({})))
}

pub async fn unload(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
) -> Result<Response, Refusal> {
    service.models.unload_on_demand(&model).await?;
    Ok(document(&json!({})))
}
