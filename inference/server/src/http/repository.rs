//! KServe's repository extension over HTTP: which models there are, to load and to unload them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Refusal, document, read};
use crate::service::Service;

/// What an index is asked for with; what else is there is not kept.
#[derive(Default, Deserialize)]
struct Index {
    #[serde(default)]
    ready: bool,
}

pub async fn index(State(service): State<Arc<Service>>, body: Body) -> Result<Response, Refusal> {
    let body = read(body, &service).await?;
    let index: Index = serde_json::from_slice(&body.bytes).unwrap_or_default();
    Ok(document(&listed(&service, index.ready)))
}

/// That the server is alive, as KServe's protocol v1 asks for it, and what it has, for people who look.
pub async fn models(State(service): State<Arc<Service>>) -> Response {
    document(&json!({"status": "alive", "models": listed(&service, false)}))
}

fn listed(service: &Service, only_ready: bool) -> Value {
    let mut all = Vec::new();
    for (name, entry) in &*service.models.entries() {
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
    Value::Array(all)
}

pub async fn load(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
) -> Result<Response, Refusal> {
    service.check_control()?;
    service.models.load_on_demand(&model).await?;
    Ok(document(&json!({})))
}

pub async fn unload(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
) -> Result<Response, Refusal> {
    service.check_control()?;
    service.models.unload_on_demand(&model).await?;
    Ok(document(&json!({})))
}
