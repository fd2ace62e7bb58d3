//! The REST API under `/hub/api`: JSON in JupyterHub's shapes. Thin: the same callees as the pages.

pub mod activity;
pub mod models;
pub mod oauth;
pub mod root;
pub mod servers;
pub mod tokens;
pub mod users;

use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use crate::app::App;
use crate::auth::posted;
use crate::db::users::User;
use crate::error::AppError;
use crate::names::{UserName, no_such_user};

/// The most that a body may hold.
const MAX_BODY: usize = 256 * 1024;

/// A body that is a JSON object; an absent one reads as empty.
#[derive(Debug, Default)]
pub struct JsonBody(pub Map<String, Value>);

impl FromRequest<App> for JsonBody {
    type Rejection = AppError;

    async fn from_request(request: Request, _: &App) -> Result<Self, AppError> {
        let bytes = posted::read(request.into_body(), MAX_BODY).await?;
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(Value::Null) => Ok(Self::default()),
            Ok(_) => Err(AppError::bad_request("Body must be a JSON object")),
            Err(_) => Err(AppError::bad_request("Invalid JSON in body of request")),
        }
    }
}

/// The user of a path. Call it after the permit: who may not ask does not learn which users exist.
async fn find_user(app: &App, name: &UserName) -> Result<User, AppError> {
    app.db.user(name).await?.ok_or_else(no_such_user)
}
