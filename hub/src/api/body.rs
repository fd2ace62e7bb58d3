//! Bodies of requests: read only when it is known that the caller may do what they say.

use std::marker::PhantomData;

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::auth::posted;
use crate::error::AppError;

/// The most that a body may hold.
const MAX_BODY: usize = 256 * 1024;

/// A body that was not looked into yet, of a `T`.
#[derive(Debug)]
pub struct Body<T> {
    bytes: Vec<u8>,
    shape: PhantomData<fn() -> T>,
}

impl<T> FromRequest<App> for Body<T> {
    type Rejection = AppError;

    async fn from_request(request: Request, _: &App) -> Result<Self, AppError> {
        Ok(Self {
            bytes: posted::read(request.into_body(), MAX_BODY).await?,
            shape: PhantomData,
        })
    }
}

impl<T: DeserializeOwned> Body<T> {
    /// The JSON object; none where there is no body, or `null`.
    pub fn object(&self) -> Result<Option<T>, AppError> {
        if self.bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        let reader = &mut serde_json::Deserializer::from_slice(&self.bytes);
        let read: Result<Option<T>, _> = serde_path_to_error::deserialize(&mut *reader);
        let read = read.map_err(|error| wrong(&error))?;
        reader.end().map_err(|_| not_json())?;
        Ok(read)
    }

    /// The JSON object, an absent one as an empty one.
    pub fn object_or_default(&self) -> Result<T, AppError>
    where
        T: Default,
    {
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
