//! Forms that a browser sends: bounded, parsed, and checked against other sites before anybody reads a field.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use futures_util::StreamExt as _;
use http::StatusCode;

use super::{cookies, xsrf};
use crate::app::App;
use crate::audit;
use crate::auth::caller::{Login, to_login};
use crate::error::AppError;

/// The most that a form may hold.
pub const MAX_FORM: usize = 64 * 1024;
/// How much more is read and dropped, so that the sender reads the answer instead of a reset connection.
const MAX_DROPPED: usize = 4 * 1024 * 1024;

/// How long a body may take to arrive.
const LONGEST_READ: Duration = Duration::from_secs(30);

/// What a person reads above a form that was stale.
pub const STALE: &str = "This form was too old, or came from another window after a new login. Nothing was done: \
     please look at it again and send it once more.";

/// Fields of a form whose token was right.
#[derive(Debug, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// The field's value; empty where the form has no such field.
    pub fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// A form of a browser that is logged in. A stale one must not be acted on: show the form again.
#[derive(Debug)]
pub struct Posted {
    pub login: Login,
    /// `Err` holds the fields of a stale form, to fill it in again.
    pub fields: Result<Fields, Fields>,
}

impl Posted {
    /// The form, where there is nothing to show again but the page that it came from.
    pub fn fresh(self) -> Result<(Login, Fields), AppError> {
        match self.fields {
            Ok(fields) => Ok((self.login, fields)),
            Err(_) => Err(AppError::forbidden(STALE)
                .advise("Go back, load the page anew, and send the form from there.")),
        }
    }
}

impl FromRequest<App> for Posted {
    type Rejection = AppError;

    async fn from_request(request: Request, app: &App) -> Result<Self, AppError> {
        let (parts, body) = request.into_parts();
        let login = Login::find(app, &parts.headers).await?;
        let login = login.ok_or_else(|| to_login(app, &parts))?;
        audit::by_user(&login.user().name);
        let fields = parse(body).await?;
        let given =
            xsrf::given(&parts.headers, "").unwrap_or_else(|| fields.get("_xsrf").to_owned());
        let fresh = login.has_xsrf(&given);
        Ok(Self {
            login,
            fields: if fresh { Ok(fields) } else { Err(fields) },
        })
    }
}

/// The login form: its token belongs to the browser's form cookie.
#[derive(Debug)]
pub struct PostedAnonymously(pub Result<Fields, Fields>);

impl FromRequest<App> for PostedAnonymously {
    type Rejection = AppError;

    async fn from_request(request: Request, app: &App) -> Result<Self, AppError> {
        let (parts, body) = request.into_parts();
        let fields = parse(body).await?;
        let given = fields.get("_xsrf");
        let fresh = cookies::all(&parts.headers, app.cookie(&cookies::FORM_ID))
            .any(|cookie| app.xsrf.verify(cookie, Some(given)));
        Ok(Self(if fresh { Ok(fields) } else { Err(fields) }))
    }
}

/// Reads `application/x-www-form-urlencoded`, not more than [`MAX_FORM`] of it.
pub async fn parse(body: Body) -> Result<Fields, AppError> {
    let bytes = read(body, MAX_FORM).await?;
    let fields = url::form_urlencoded::parse(&bytes);
    Ok(Fields(
        fields
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect(),
    ))
}

/// Reads a body of at most `limit` bytes.
pub async fn read(body: Body, limit: usize) -> Result<Vec<u8>, AppError> {
    let reading = tokio::time::timeout(LONGEST_READ, read_all(body, limit)).await;
    reading.unwrap_or_else(|_| {
        Err(AppError::new(
            StatusCode::REQUEST_TIMEOUT,
            "The request came too slowly.",
        ))
    })
}

async fn read_all(body: Body, limit: usize) -> Result<Vec<u8>, AppError> {
    let mut bytes = Vec::new();
    let mut dropped = 0;
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| AppError::bad_request("The request ended early."))?;
        if dropped == 0 && bytes.len() + frame.len() <= limit {
            bytes.extend_from_slice(&frame);
        } else {
            dropped += frame.len();
        }
        if dropped > MAX_DROPPED {
            break;
        }
    }
    if dropped > 0 {
        let message = format!(
            "What was sent is larger than {} KiB, the most that is read here.",
            limit / 1024
        );
        return Err(AppError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    Ok(bytes)
}
