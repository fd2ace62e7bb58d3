//! A form that was sent: its fields, once it is sure that a page of this program sent it.

use std::time::Duration;

use axum::extract::{FromRef, FromRequest, FromRequestParts as _, Request};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::StatusCode;
use tokio::time::timeout;

use crate::app::App;
use crate::error::AppError;
use crate::visitor::Visitor;

/// How long a form may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Submitted {
    pub visitor: Visitor,
    fields: Vec<(String, String)>,
}

impl Submitted {
    /// The first field of this name; empty where there is none.
    pub fn get(&self, name: &str) -> String {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

impl<S: Send + Sync> FromRequest<S> for Submitted
where
    App: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, state).await;
        let visitor = visitor.map_err(AppError::into_response)?;
        let request = Request::from_parts(parts, body);
        // Its size has a limit (see the router).
        let body = timeout(PATIENCE, Bytes::from_request(request, state)).await;
        let body = body.map_err(|_| {
            AppError::new(
                StatusCode::REQUEST_TIMEOUT,
                "What was sent did not arrive in time.",
            )
            .into_response()
        })?;
        let body = body.map_err(|rejection| {
            AppError::new(
                rejection.status(),
                "What was sent is too large, or broke off.",
            )
            .into_response()
        })?;
        let fields = url::form_urlencoded::parse(&body).into_owned().collect();
        let sent = Self { visitor, fields };
        if sent.visitor.is_own(&sent.get("_xsrf")) {
            return Ok(sent);
        }
        let error = AppError::forbidden("This form is of another login, or of another page.");
        Err(error
            .advise("Go back, load the page anew and send it again.")
            .into_response())
    }
}
