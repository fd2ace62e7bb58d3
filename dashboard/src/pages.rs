//! What browsers see. Each handler: who asks, what they may, a few calls, a template.

pub mod create;
pub mod delete;
pub mod detail;
pub mod edit;
pub mod kept;
pub mod list;
pub mod logs;
pub mod overview;
mod shown;
pub mod training;
pub mod usage;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, header};

use crate::app::App;
use crate::error::AppError;

/// GET to/PATH: a path of the Hub, where it is at another port of the host that the browser asked for.
pub async fn to_hub(
    State(app): State<App>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let path = format!("/{path}");
    let is_plain = |letter: char| letter.is_ascii_graphic() && letter != '\\';
    if path.starts_with("//") || !path.chars().all(is_plain) {
        return Err(AppError::not_found("There is no such page."));
    }
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let there = app.settings.hub_host.address(host, false, &path);
    Ok(Redirect::to(&there).into_response())
}
