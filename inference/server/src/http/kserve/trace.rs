//! KServe's trace settings over HTTP.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::http::answer::{Refusal, document, read};
use crate::service::Service;
use crate::trace::Changes;

pub async fn get_all(State(service): State<Arc<Service>>) -> Response {
    document(&settings(&service, None))
}

pub async fn get(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
) -> Result<Response, Refusal> {
    service.models.entry(&model)?;
    Ok(document(&settings(&service, Some(&model))))
}

pub async fn change_all(
    State(service): State<Arc<Service>>,
    body: Body,
) -> Result<Response, Refusal> {
    change(&service, None, body).await
}

pub async fn change_one(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    service.models.entry(&model)?;
    change(&service, Some(&model), body).await
}

async fn change(service: &Service, model: Option<&str>, body: Body) -> Result<Response, Refusal> {
    service.check_control()?;
    let body = read(body, service).await?;
    service
        .models
        .traces
        .change(model, &changes(&body.bytes)?)?;
    Ok(document(&settings(service, model)))
}

/// Settings with a text, a list of texts, or null for what was at first.
fn changes(body: &[u8]) -> Result<Changes, Failure> {
    let wrong = |why: &dyn std::fmt::Display| Failure::invalid(format!("the settings: {why}"));
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|error| wrong(&error))?;
    let one = |value: Value| match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(vec![text])),
        other => serde_json::from_value(other).map(Some),
    };
    let all = body.into_iter().map(|(name, value)| {
        let value = one(value).map_err(|error| wrong(&error))?;
        Ok((name, value))
    });
    all.collect()
}

/// All but the level are texts.
fn settings(service: &Service, model: Option<&str>) -> Value {
    let settings = service.models.traces.get(model).into_iter();
    let values = settings.map(|(name, values)| {
        let value = match name {
            "trace_level" => values.into(),
            _ => values.concat().into(),
        };
        (name.to_owned(), value)
    });
    Value::Object(values.collect())
}
