//! What the service answers where it does not do as it is asked: a status and a sentence, as JupyterHub does.

use axum::Json;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn no_job(id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("you have no job {id:?}"))
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    pub fn away(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

/// The body of a request, read once it is known whose it is.
///
/// # Errors
/// Where it is too large or breaks off; `what` it is.
pub async fn read(body: Body, largest: usize, what: &str) -> Result<Bytes, Refusal> {
    to_bytes(body, largest).await.map_err(|error| {
        let message = format!("the {what} is larger than {largest} bytes, or broke off: {error}");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status;
        let body = json!({ "status": status.as_u16(), "message": self.message });
        (status, Json(body)).into_response()
    }
}

/// The cluster's own words are for people too; what else went wrong is for the log.
impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if (400..500).contains(&status.code) => {
                let message = format!("the cluster refused it: {}", status.message);
                // What is wrong with it stays so; a quota may be raised.
                let code = match status.code {
                    404 => StatusCode::NOT_FOUND,
                    409 => StatusCode::CONFLICT,
                    422 => StatusCode::UNPROCESSABLE_ENTITY,
                    429 => StatusCode::TOO_MANY_REQUESTS,
                    _ => StatusCode::FORBIDDEN,
                };
                Self::new(code, message)
            }
            error => {
                tracing::error!(%error, "The cluster could not be asked");
                Self::new(StatusCode::BAD_GATEWAY, "the cluster does not answer now")
            }
        }
    }
}
