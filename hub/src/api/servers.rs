//! `/hub/api/users/:user/server[s/:server]`: start, stop, look, and the progress of a start.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use carrel_spawner::form::Wrong;
use futures_util::StreamExt as _;
use futures_util::stream::{Stream, unfold};
use http::{StatusCode, header};
use serde_json::{Map, Value, json};

use super::{JsonBody, find_user, models};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db::servers::{Server, State as RunState};
use crate::db::users::User;
use crate::error::AppError;
use crate::names::Named;
use crate::servers::progress::Event;
use crate::servers::{self, StartError, Stop, UserOptions, progress};

async fn existing(app: &App, named: &Named) -> Result<Server, AppError> {
    let server = app.db.server(&named.user, &named.server).await?;
    server.ok_or_else(|| AppError::not_found(format!("{} has no such server", named.user)))
}

/// GET: the server's model.
pub async fn get(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    caller.permit("read:servers", named.target())?;
    let server = existing(&app, &named).await?;
    Ok(Json(models::server(&app, &server, &caller.scopes)))
}

/// POST: starts the server; 202, because it takes a while.
pub async fn start(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, AppError> {
    let permit = caller.permit("start:servers", named.target())?;
    let user = find_user(&app, &named.user).await?;
    let known =
        named.server.is_empty() || app.db.server(&user.name, &named.server).await?.is_some();
    if !known && !servers::is_server_name(&named.server) {
        return Err(AppError::bad_request(servers::SERVER_NAME_RULE));
    }
    let options = user_options(&app, &user, body)?;
    match servers::start(&app, permit, &user, &named.server, options).await {
        Ok(_) => Ok(StatusCode::ACCEPTED),
        Err(
            error @ (StartError::AlreadyRunning(_) | StartError::Stopping(_) | StartError::NotGone),
        ) => Err(AppError::bad_request(error.to_string())),
        Err(error @ StartError::TooMany(_)) => Err(AppError::too_many(error.to_string(), 60)),
        Err(StartError::Db(error)) => Err(error.into()),
    }
}

/// DELETE: stops the server, or cancels its start; `{"remove": true}` deletes a named server.
pub async fn stop(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<StatusCode, AppError> {
    let permit = caller.permit("delete:servers", named.target())?;
    let remove = body.get("remove").and_then(Value::as_bool).unwrap_or(false);
    if remove && named.server.is_empty() {
        return Err(AppError::bad_request("Cannot delete the default server"));
    }
    let user = find_user(&app, &named.user).await?;
    let Some(server) = app.db.server(&user.name, &named.server).await? else {
        let unknown = AppError::not_found(format!(
            "{} has no server named '{}'",
            user.name, named.server
        ));
        return if named.server.is_empty() {
            Ok(StatusCode::NO_CONTENT)
        } else {
            Err(unknown)
        };
    };
    let patience = Duration::from_secs(10);
    let stop = if remove {
        servers::remove(&app, permit, &server, patience).await?
    } else {
        servers::stop(&app, permit, &server, patience).await?
    };
    match stop {
        Stop::Stopped => Ok(StatusCode::NO_CONTENT),
        Stop::Stopping => Ok(StatusCode::ACCEPTED),
        Stop::StartedAgain => Err(AppError::bad_request(format!(
            "{} has been started again",
            server.full_name()
        ))),
    }
}

/// GET .../progress: server-sent events; the last one says ready or failed.
pub async fn progress(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<Response, AppError> {
    caller.permit("read:servers", named.target())?;
    let server = existing(&app, &named).await?;
    if server.state == RunState::Stopped && server.failure.is_none() {
        return Err(AppError::bad_request(format!(
            "{} is not starting...",
            server.full_name()
        )));
    }
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
        // nginx would hold the events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((
        headers,
        Body::from_stream(lines(progress::events(app, &server))),
    )
        .into_response())
}

/// `data: {json}\n\n`, and an empty line every 8 s so that no proxy cuts the connection.
fn lines(
    events: impl Stream<Item = Event> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    const KEEPALIVE: Duration = Duration::from_secs(8);
    unfold(Box::pin(events), |mut events| async move {
        let line = match tokio::time::timeout(KEEPALIVE, pin!(events.next())).await {
            Ok(event) => format!("data: {}\n\n", model(event?)),
            Err(_) => String::from("\n\n"),
        };
        Some((Ok(Bytes::from(line)), events))
    })
}

fn model(event: Event) -> Value {
    match event {
        Event::Progress { progress, message } => {
            json!({ "progress": progress, "message": message })
        }
        Event::Ready { url } => json!({
            "progress": 100,
            "ready": true,
            "message": format!("Server ready at {url}"),
            // The URL is percent-encoded: nothing in it can end the attribute or the element.
            "html_message": format!("Server ready at <a href=\"{url}\">{url}</a>"),
            "url": url,
        }),
        Event::Failed { message } => {
            json!({ "progress": 100, "failed": true, "message": format!("Spawn failed: {message}") })
        }
    }
}

/// The body is the options, or holds them under `user_options` (6.0).
fn user_options(
    app: &App,
    user: &User,
    mut body: Map<String, Value>,
) -> Result<UserOptions, AppError> {
    let nested = body.contains_key("user_options") || body.contains_key("display_name");
    let options = if nested {
        body.remove("user_options").unwrap_or(Value::Null)
    } else {
        Value::Object(body)
    };
    let options = match options {
        Value::Object(options) => options,
        Value::Null => Map::new(),
        _ => {
            return Err(AppError::bad_request(
                "user_options must be an object or null",
            ));
        }
    };
    if let Some(Wrong { field, message }) =
        servers::options::form(app, user).check(&options).first()
    {
        return Err(AppError::bad_request(format!("{field}: {message}")));
    }
    if options.keys().any(|key| key.starts_with("__jupyterhub_")) {
        return Err(AppError::bad_request(
            "user_options must not hold keys that begin with __jupyterhub_",
        ));
    }
    Ok(options)
}
