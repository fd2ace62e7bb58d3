//! What both HTTP protocols answer with: JSON, and refusals as `{"error": ".."}`.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::failure::{Failure, Kind};
use crate::json;
use crate::service::{Service, kibibytes};

/// A status and a sentence.
#[derive(Debug)]
pub struct Refusal(pub StatusCode, pub String);

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(failure.kind.status(), failure.message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.1 }).to_string();
        (self.0, [(CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// JSON that was written already.
pub fn written(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

pub fn document(value: &Value) -> Response {
    written(value.to_string())
}

pub async fn nothing() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "there is no such path".into())
}

pub fn unauthorized() -> Refusal {
    let message = "a bearer token is needed".into();
    Refusal(StatusCode::UNAUTHORIZED, message)
}

pub async fn no_method() -> Refusal {
    let message = "the path has no such method".into();
    Refusal(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// A body, and its part of what all bodies may take, until it is dropped.
pub struct Read {
    pub bytes: Bytes,
    _part: OwnedSemaphorePermit,
}

/// The whole body.
///
/// # Errors
/// Where it is larger than one may be, breaks off, or there are too many already.
pub async fn read(body: Body, service: &Service) -> Result<Read, Refusal> {
    let largest = service.largest_body;
    // Of a length that is not said, or a lie, no more is read than was taken.
    let said = body
        .size_hint()
        .exact()
        .and_then(|size| usize::try_from(size).ok());
    let size = said.unwrap_or(largest).min(largest);
    let part = part(service, size)?;
    let bytes = to_bytes(body, largest).await.map_err(|error| {
        let message = format!("the body is larger than {largest} bytes, or broke off: {error}");
        Refusal(StatusCode::PAYLOAD_TOO_LARGE, message)
    })?;
    Ok(Read { bytes, _part: part })
}

/// Room for a document that is read from a body, until it is dropped.
///
/// # Errors
/// Where it takes more than all bodies may, or there are too many already.
pub fn room(service: &Service, body: &Read, text: &[u8]) -> Result<OwnedSemaphorePermit, Failure> {
    let needed = json::memory(text);
    let most = service.most_bodies;
    if kibibytes(body.bytes.len()) + kibibytes(needed) > most {
        let message =
            format!("the JSON takes {needed} bytes once it is read, and all may take {most} KiB");
        return Err(Failure::invalid(message));
    }
    part(service, needed)
}

fn part(service: &Service, bytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
    let part = u32::try_from(kibibytes(bytes)).unwrap_or(u32::MAX);
    let part = Arc::clone(&service.bodies).try_acquire_many_owned(part);
    part.map_err(|_| {
        let message = "the requests that are being read take all the memory they may";
        Failure::new(Kind::ResourceExhausted, message)
    })
}

/// Work on a body: a large one would keep the thread from other requests.
pub fn off_the_thread<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    const LARGE: usize = 1 << 18;
    match bytes > LARGE {
        true => tokio::task::block_in_place(work),
        false => work(),
    }
}

/// The name of a refusal's code as metrics have it.
pub fn code<T>(answer: &Result<T, Failure>) -> &'static str {
    match answer {
        Ok(_) => "OK",
        Err(failure) => Kind::name(failure.kind),
    }
}
