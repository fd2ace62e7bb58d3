//! KServe's protocol v2 over HTTP: inference, with tensors in JSON or as bytes after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::answer::{Read, Refusal, code, off_the_thread, read, room, written};
use crate::failure::Failure;
use crate::models::Selector;
use crate::service::Service;

pub mod models;
mod request;
mod response;
pub mod trace;

/// The length of the JSON before the bytes of tensors, in requests and answers.
const JSON_LENGTH: &str = "inference-header-content-length";

/// The model of a path, and its version.
#[derive(Debug, Deserialize)]
pub struct Target {
    model: String,
    version: Option<String>,
}

impl Target {
    fn selector(&self) -> Selector {
        Selector::of_text(self.version.as_deref().unwrap_or_default())
    }
}

pub async fn infer(
    State(service): State<Arc<Service>>,
    Path(target): Path<Target>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let body = read(body, &service).await?;
    let begun = Instant::now();
    let answer = answer(&service, &target, &headers, &body).await;
    service
        .metrics
        .count("kserve-rest", code(&answer), begun.elapsed());
    let (json, bytes) = answer?;
    let Some(bytes) = bytes else {
        return Ok(written(json));
    };
    let length = json.len().to_string();
    let mut body = json.into_bytes();
    body.extend_from_slice(&bytes);
    let headers = [
        (JSON_LENGTH, length.as_str()),
        (CONTENT_TYPE.as_str(), "application/octet-stream"),
    ];
    Ok((headers, body).into_response())
}

/// The JSON of the answer, and the bytes after it if it has any.
async fn answer(
    service: &Service,
    target: &Target,
    headers: &HeaderMap,
    body: &Read,
) -> Result<(String, Option<Vec<u8>>), Failure> {
    let models = &service.models;
    let served = models.find_awake(&target.model, &target.selector()).await?;
    let length = json_length(headers)?;
    let all = &*body.bytes;
    let (_room, request) = off_the_thread(all.len(), || {
        let text = all.get(..length.unwrap_or(all.len())).unwrap_or(all);
        let room = room(service, body, text)?;
        Ok::<_, Failure>((room, request::read(&served, all, length)?))
    })?;
    let request::Request { id, call, outputs } = request;
    let computed = served.run(call).await?;
    let bytes = computed.iter().map(|(_, one)| one.memory()).sum();
    Ok(off_the_thread(bytes, || {
        response::write(&served, &id, &computed, &outputs)
    }))
}

fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Failure> {
    let Some(value) = headers.get(JSON_LENGTH) else {
        return Ok(None);
    };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    let wrong = || Failure::invalid("the header Inference-Header-Content-Length is no number");
    length.map(Some).ok_or_else(wrong)
}

/// Triton's `timeout`, in microseconds.
fn patience(microseconds: Option<u64>) -> Option<Duration> {
    microseconds
        .filter(|time| *time > 0)
        .map(Duration::from_micros)
}
