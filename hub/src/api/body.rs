//! Bodies of requests: read only when it is known that the caller may do what they say.

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::auth::posted;
use crate::error::AppError;

/// The most that a body may hold.
const MAX_BODY: usize = 256 * 1024;

/// A body that was not looked into yet.
#[derive(Debug)]
pub struct Body(Vec<u8>);

impl FromRequest<App> for Body {
    type Rejection = AppError;

    async fn from_request(request: Request, _: &App) -> Result<Self, AppError> {
        Ok(Self(posted::read(request.into_body(), MAX_BODY).await?))
    }
}

impl Body {
    /// The JSON object; none where there is no body, or `null`.
    pub fn object<T: DeserializeOwned>(&self) -> Result<Option<T>, AppError> {
        if self.0.trim_ascii().is_empty() {
            return Ok(None);
        }
        let reader = &mut serde_json::Deserializer::from_slice(&self.0);
        let read: Result<Option<T>, _> = serde_path_to_error::deserialize(&mut *reader);
        let read = read.map_err(|error| wrong(&error))?;
        reader.end().map_err(|_| not_json())?;
        Ok(read)
    }

    /// The JSON object, an absent one as an empty one.
    pub fn object_or_default<T: DeserializeOwned + Default>(&self) -> Result<T, AppError> {
        Ok(self.object()?.unwrap_or_default())
    }
}

fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> AppError {
    if !error.inner().is_data() {
        return not_json();
    }
    let path = error.path().to_string();
    // Without the place, which is one in a text that nobody has seen.
    let reason = error.inner().to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    match path.as_str() {
        "." => AppError::bad_request(format!("The body of the request does not fit: {reason}")),
        _ => AppError::bad_request(format!("{path}: {reason}")),
    }
}

fn not_json() -> AppError {
    AppError::bad_request("Invalid JSON in body of request")
}
