//! The OpenAPI document of `openapi.yaml`, as JSON.

use std::sync::OnceLock;

use axum::response::Response;

use super::answer::{Refusal, written};
use crate::failure::Failure;

const DOCUMENT: &str = include_str!("../../openapi.yaml");

pub async fn document() -> Result<Response, Refusal> {
    static JSON: OnceLock<Result<String, String>> = OnceLock::new();
    let json = JSON.get_or_init(|| {
        let value = serde_saphyr::from_str::<serde_json::Value>(DOCUMENT);
        value
            .map(|value| value.to_string())
            .map_err(|error| error.to_string())
    });
    match json {
        Ok(json) => Ok(written(json.clone())),
        Err(error) => Err(Failure::internal(error.clone()).into()),
    }
}
