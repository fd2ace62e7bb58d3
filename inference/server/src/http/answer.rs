//! What both HTTP protocols answer with: JSON, and refusals as `{"error": ".."}`.

use axum::body::{Body, Bytes, to_bytes};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::failure::{Failure, Kind};

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
        let body = json!({ "error": self.1 }).to_string();
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

/// The whole body.
///
/// # Errors
/// Where it is larger than `largest`, or breaks off.
pub async fn read(body: Body, largest: usize) -> Result<Bytes, Refusal> {
    to_bytes(body, largest).await.map_err(|error| {
        let message = format!("the body is larger than {largest} bytes, or broke off: {error}");
        Refusal(StatusCode::PAYLOAD_TOO_LARGE, message)
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
