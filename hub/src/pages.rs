//! What browsers see. Each handler: who asks, one call, a template or a redirect; no SQL and no spawner here.

pub mod accept_share;
pub mod admin;
pub mod errors;
pub mod home;
pub mod login;
pub mod oauth;
pub mod password;
mod rows;
pub mod signup;
pub mod spawn;
mod spawn_query;
pub mod token;
pub mod user;

use std::time::Duration;

use axum::response::{IntoResponse as _, Redirect, Response};
use http::{HeaderMap, header};

use crate::app::App;
use crate::auth::next;

/// How long the page of a stop waits for its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// 303: the browser goes on with GET.
fn see_other(location: &str) -> Response {
    Redirect::to(location).into_response()
}

/// The first value of a query's argument.
pub(crate) fn argument(query: Option<&str>, name: &str) -> Option<String> {
    let mut arguments = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    arguments
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// `?next=`, if it leads to a page of this host, or of a server.
fn next_path(app: &App, query: Option<&str>, headers: &HeaderMap) -> Option<String> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let subdomains = app.urls.subdomains.as_ref();
    let next = argument(query, "next")?;
    let public = || next::local_path(&next, &app.urls.public_host()?, subdomains);
    next::local_path(&next, host, subdomains).or_else(public)
}

/// `url` with `?next=` where there is one.
fn with_next(url: &str, next: Option<&str>) -> String {
    let Some(next) = next else {
        return url.to_owned();
    };
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", next)
        .finish();
    format!("{url}?{query}")
}
