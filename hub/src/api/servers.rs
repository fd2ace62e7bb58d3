//! `/hub/api/users/:user/server[s/:server]`: start, stop, look, create, change, and the progress of a start.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{self, KeepAlive, Sse};
use carrel_spawner::form::Wrong;
use futures_util::StreamExt as _;
use http::{StatusCode, header};
use schemars_of_aide::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Created, Kinds, Other};
use super::body::Body;
use super::{find_user, models, shapes};
use crate::access::permit::{ReadServer, StartServer, StopServer};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db::servers::{Server, State as RunState};
use crate::db::users::User;
use crate::error::AppError;
use crate::names::Named;
use crate::refresh;
use crate::servers::named::{self, NamedError};
use crate::servers::progress::Event;
use crate::servers::{self, Begun, StartError, Stop, UserOptions, Wanted, progress, split_failure};

/// How long a request waits for the end of a stop.
const PATIENCE: Duration = Duration::from_secs(10);
/// So that no proxy cuts the connection (jupyterhub/apihandlers/users.py, `keepalive_interval`).
const KEEPALIVE: Duration = Duration::from_secs(8);

/// PATCH
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", rename = "ServerChange")]
#[serde(deny_unknown_fields)]
pub struct Change {
    name: Option<String>,
    display_name: Option<String>,
    user_options: Option<UserOptions>,
}

/// DELETE
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", rename = "ServerRemoval")]
pub struct Removal {
    #[serde(default)]
    remove: bool,
}

/// GET: the server's model.
pub async fn get(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<Answer<shapes::Server>, AppError> {
    let permit = caller.permit(ReadServer(named))?;
    let server = named::existing(&app, &permit.0).await?;
    Ok(Answer::new(models::server(&app, &server, &caller.scopes)))
}

/// PUT: creates a named server and does not start it (6.0).
pub async fn create(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Map<String, Value>>,
) -> Result<Created<shapes::Server>, AppError> {
    let permit = caller.permit(StartServer(named))?;
    let user = find_user(&app, &permit.0.user).await?;
    let wanted = wanted(&app, &user, &body).await?;
    let server = named::create(&app, permit, wanted).await?;
    let model = models::server(&app, &server, &caller.scopes);
    Ok(Created::new(model))
}

/// PATCH: renames a stopped server, or changes what it is called or its options (6.0).
pub async fn change(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Change>,
) -> Result<Answer<shapes::Server>, AppError> {
    let permit = caller.permit(StartServer(named))?;
    let user = find_user(&app, &permit.0.user).await?;
    let change = body.object_or_default()?;
    if change.name.is_none() && change.display_name.is_none() && change.user_options.is_none() {
        return Err(AppError::bad_request(
            "Must specify at least one field to modify.",
        ));
    }
    if let Some(options) = &change.user_options {
        check_options(&app, &user, options).await?;
    }
    let wanted = named::Wanted {
        name: change.name,
        display_name: change.display_name,
        user_options: change.user_options,
    };
    let server = named::change(&app, permit, wanted).await?;
    Ok(Answer::new(models::server(&app, &server, &caller.scopes)))
}

/// POST: starts the server; 201 where it is ready within `slow_spawn_timeout`, else 202.
pub async fn start(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Map<String, Value>>,
) -> Result<answer::Begun<201>, AppError> {
    let permit = caller.permit(StartServer(named))?;
    let user = find_user(&app, &permit.0.user).await?;
    let wanted = wanted(&app, &user, &body).await?;
    let wanted = Wanted {
        options: wanted.user_options,
        display_name: wanted.display_name,
    };
    let named = permit.0.clone();
    let asks = caller.principal.user().map(|user| &*user.name);
    let own_browser = caller.token.is_none() && asks == Some(&*named.user);
    refresh::before_start(&app, &named.user, own_browser).await?;
    if servers::start(&app, permit, wanted).await? == Begun::Joined {
        return Ok(answer::Begun::GoesOn);
    }
    let patience = app.config.jupyter_hub.slow_spawn_timeout;
    if patience.is_zero() {
        return Ok(answer::Begun::GoesOn);
    }
    let server = named::existing(&app, &named).await?;
    match servers::started(&app, &server, patience).await? {
        Some(now) if now.state == RunState::Ready => Ok(answer::Begun::Done),
        Some(now) if now.state == RunState::Stopped => Err(failed(&now)),
        _ => Ok(answer::Begun::GoesOn),
    }
}

/// DELETE: stops the server, or cancels its start; `{"remove": true}` deletes a named server.
pub async fn stop(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Removal>,
) -> Result<answer::Begun<204>, AppError> {
    let permit = caller.permit(StopServer(named))?;
    let user = find_user(&app, &permit.0.user).await?;
    let Removal { remove } = body.object_or_default()?;
    let server = &permit.0.server;
    if remove && server.is_empty() {
        return Err(AppError::bad_request("Cannot delete the default server"));
    }
    let stop = if remove {
        servers::remove(&app, &permit, PATIENCE).await?
    } else {
        servers::stop(&app, &permit, PATIENCE).await?
    };
    match stop {
        Stop::Stopped => Ok(answer::Begun::Done),
        Stop::Stopping => Ok(answer::Begun::GoesOn),
        Stop::StartedAgain => Err(AppError::bad_request(format!(
            "{}/{server} has been started again",
            user.name
        ))),
        Stop::None if server.is_empty() => Ok(answer::Begun::Done),
        Stop::None => Err(AppError::not_found(format!(
            "{} has no server named '{server}'",
            user.name
        ))),
    }
}

/// GET .../progress: server-sent events; the last one says ready or failed.
pub async fn progress(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<Other<Events>, AppError> {
    let permit = caller.permit(ReadServer(named))?;
    let server = app.db.server(&permit.0.user, &permit.0.server).await?;
    let server = server.ok_or_else(|| no_server(&permit.0))?;
    if server.state == RunState::Stopped && server.failure.is_none() {
        return Err(AppError::bad_request(format!(
            "{} is not starting...",
            server.full_name()
        )));
    }
    let events = progress::events(app, &server)
        .map(|event| Ok::<_, Infallible>(sse::Event::default().data(model(event).to_string())));
    let keepalive = KeepAlive::new()
        .interval(KEEPALIVE)
        .event(sse::Event::default());
    let events = Sse::new(events).keep_alive(keepalive);
    // nginx would hold the events back.
    let unbuffered = [(header::HeaderName::from_static("x-accel-buffering"), "no")];
    Ok(Other::new((unbuffered, events)))
}

/// Server-sent events.
#[derive(Debug)]
pub enum Events {}

impl Kinds for Events {
    fn kinds(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        let data = json_schema!({
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": schemas.subschema_for::<shapes::Progress>(),
        });
        let event = json_schema!({
            "type": "object",
            "properties": { "data": data },
            "required": ["data"],
        });
        vec![("text/event-stream", event)]
    }
}

/// A start that has failed while its request waited.
fn failed(server: &Server) -> AppError {
    let failure = server.failure.as_deref().unwrap_or("it was stopped");
    let (reason, _) = split_failure(failure);
    AppError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("{} did not start: {reason}", server.full_name()),
    )
}

fn no_server(named: &Named) -> AppError {
    AppError::not_found(format!("{} has no such server", named.user))
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

/// The body is the options, or holds them under `user_options` beside `display_name` (6.0).
async fn wanted(
    app: &App,
    user: &User,
    body: &Body<Map<String, Value>>,
) -> Result<named::Wanted, AppError> {
    let fields = body.object()?;
    let Some(mut fields) = fields.filter(|fields| !fields.is_empty()) else {
        return Ok(named::Wanted::default());
    };
    let nested = fields.contains_key("user_options") || fields.contains_key("display_name");
    if !nested {
        check_options(app, user, &fields).await?;
        return Ok(named::Wanted {
            user_options: Some(fields),
            ..named::Wanted::default()
        });
    }
    let options = match fields.remove("user_options") {
        None | Some(Value::Null) => None,
        Some(Value::Object(options)) => Some(options),
        Some(_) => {
            return Err(AppError::bad_request(
                "user_options must be an object or null",
            ));
        }
    };
    let display_name = match fields.remove("display_name") {
        None => None,
        Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
        Some(_) => return Err(AppError::bad_request("display_name must be a string")),
    };
    if let Some(options) = &options {
        check_options(app, user, options).await?;
    }
    Ok(named::Wanted {
        name: None,
        display_name,
        user_options: options,
    })
}

async fn check_options(app: &App, user: &User, options: &UserOptions) -> Result<(), AppError> {
    let form = servers::options::form(app, user).await?;
    if let Some(Wrong { field, message }) = form.check(options).first() {
        return Err(AppError::bad_request(format!("{field}: {message}")));
    }
    if options.keys().any(|key| key.starts_with("__jupyterhub_")) {
        return Err(AppError::bad_request(
            "user_options must not hold keys that begin with __jupyterhub_",
        ));
    }
    Ok(())
}

impl From<StartError> for AppError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::TooMany(_) => Self::too_many(error.to_string(), 60),
            StartError::Quota(_) => Self::forbidden(error.to_string()),
            StartError::NoUser => crate::names::no_such_user(),
            StartError::Db(error) => error.into(),
            StartError::AlreadyRunning(_) | StartError::Stopping(_) | StartError::NotGone => {
                Self::bad_request(error.to_string())
            }
            StartError::Named(error) => error.into(),
        }
    }
}

impl From<NamedError> for AppError {
    fn from(error: NamedError) -> Self {
        match error {
            NamedError::NoUser => crate::names::no_such_user(),
            NamedError::NoServer(_) => Self::not_found(error.to_string()),
            NamedError::Default(_) | NamedError::Taken(..) | NamedError::InUse(_) => {
                Self::conflict(error.to_string())
            }
            NamedError::Name
            | NamedError::NotEnabled
            | NamedError::OfDefault
            | NamedError::TooMany(..)
            | NamedError::DisplayName
            | NamedError::Active(_) => Self::bad_request(error.to_string()),
            NamedError::Db(error) => error.into(),
        }
    }
}
