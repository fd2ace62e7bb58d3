//! What KServe's protocol v2 says over HTTP about the server and its models: health, metadata, statistics.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use carrel_inference::TensorSpec;
use serde_json::{Value, json};

use super::super::answer::{Refusal, document};
use super::Target;
use crate::names;
use crate::served::Served;
use crate::service::Service;
use crate::statistics::Counts;

pub async fn server() -> Response {
    document(&json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "extensions": names::EXTENSIONS,
    }))
}

pub async fn live() -> Response {
    document(&json!({"live": true}))
}

pub async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, Response) {
    let ready = service.is_ready() && service.models.are_ready();
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, document(&json!({"ready": ready})))
}

pub async fn model_ready(
    State(service): State<Arc<Service>>,
    Path(target): Path<Target>,
) -> Result<Response, Refusal> {
    let entry = service.models.entry(&target.model)?;
    if !entry.is_ready(&target.selector()) {
        entry.find(&target.selector())?;
    }
    Ok(document(&json!({"name": target.model, "ready": true})))
}

pub async fn metadata(
    State(service): State<Arc<Service>>,
    Path(target): Path<Target>,
) -> Result<Response, Refusal> {
    let models = &service.models;
    let served = models.find_awake(&target.model, &target.selector()).await?;
    let (_, signature) = served.signature(None)?;
    let entry = service.models.entry(&target.model)?;
    let available = entry.available();
    let versions: Vec<_> = available
        .iter()
        .map(|one| one.version.to_string())
        .collect();
    let tensors = |specs: &[TensorSpec]| -> Value { specs.iter().map(tensor).collect() };
    Ok(document(&json!({
        "name": served.name,
        "versions": versions,
        "platform": names::PLATFORM,
        "inputs": tensors(&signature.inputs),
        "outputs": tensors(&signature.outputs),
    })))
}

fn tensor(spec: &TensorSpec) -> Value {
    let shape: Vec<_> = spec
        .shape
        .iter()
        .map(|dim| dim.map_or(-1, |dim| dim as i64))
        .collect();
    json!({"name": spec.name, "datatype": names::kserve(spec.dtype), "shape": shape})
}

pub async fn all_statistics(State(service): State<Arc<Service>>) -> Response {
    let available = service.models.available();
    let all: Vec<_> = available.iter().map(|served| counts(served)).collect();
    document(&json!({ "model_stats": all }))
}

pub async fn statistics(
    State(service): State<Arc<Service>>,
    Path(target): Path<Target>,
) -> Result<Response, Refusal> {
    let served = service.models.find(&target.model, &target.selector())?;
    Ok(document(&json!({ "model_stats": [counts(&served)] })))
}

fn counts(served: &Served) -> Value {
    let Counts {
        successes,
        failures,
        rows,
        success_time,
        failure_time,
        waiting_time,
        computing_time,
        last,
    } = served.statistics.counts();
    let time = |count: u64, ns: u64| json!({"count": count, "ns": ns});
    json!({
        "name": served.name,
        "version": served.version.to_string(),
        "last_inference": last,
        "inference_count": rows,
        "execution_count": served.executions(),
        "inference_stats": {
            "success": time(successes, success_time),
            "fail": time(failures, failure_time),
            "queue": time(successes, waiting_time),
            "compute_input": time(successes, 0),
            "compute_infer": time(successes, computing_time),
            "compute_output": time(successes, 0),
            "cache_hit": time(0, 0),
            "cache_miss": time(0, 0),
        },
        "batch_stats": [],
    })
}
