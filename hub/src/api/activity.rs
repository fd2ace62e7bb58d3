//! `POST /hub/api/users/:user/activity`: a single-user server reports when it was last used.

use axum::extract::State;
use serde_json::Value;

use super::answer::Done;
use super::body::Body;
use super::find_user;
use crate::access::permit::ReportActivity;
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db;
use crate::error::AppError;
use crate::names::Named;
use crate::time;

type Object = serde_json::Map<String, Value>;

/// Clocks may differ this much.
const MOST_AHEAD_MS: i64 = 59 * 60 * 1000;

pub async fn post(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Object>,
) -> Result<Done<200>, AppError> {
    let permit = caller.permit(ReportActivity(named.user))?;
    let user = find_user(&app, &permit.0).await?;
    let body = body.object_or_default()?;
    let last = body.get("last_activity").map(timestamp).transpose()?;
    let mut servers = Vec::new();
    for (server, info) in servers_of(&body)? {
        let known = app.db.server(&user.name, server).await?;
        let unknown =
            || AppError::bad_request(format!("No such server '{server}' for user {}", user.name));
        let at = info.get("last_activity").ok_or_else(shape)?;
        servers.push((known.ok_or_else(unknown)?.id, timestamp(at)?));
    }
    if last.is_none() && servers.is_empty() {
        return Err(AppError::bad_request(
            "body must contain at least one of `last_activity` or `servers`",
        ));
    }
    for (id, at) in &servers {
        app.db.server_was_active(*id, *at).await?;
    }
    if let Some(at) = last {
        app.db.user_was_active(user.id, at).await?;
    }
    Ok(Done)
}

fn servers_of(body: &Object) -> Result<Vec<(&str, &Object)>, AppError> {
    let Some(servers) = body.get("servers") else {
        return Ok(Vec::new());
    };
    let servers = servers.as_object().ok_or_else(shape)?;
    servers
        .iter()
        .map(|(name, info)| Ok((name.as_str(), info.as_object().ok_or_else(shape)?)))
        .collect()
}

fn timestamp(value: &Value) -> Result<i64, AppError> {
    let at = value
        .as_str()
        .and_then(time::parse)
        .ok_or_else(|| AppError::bad_request("Not a valid timestamp"))?;
    if at > db::now() + MOST_AHEAD_MS {
        return Err(AppError::bad_request(
            "Rejecting activity from more than an hour in the future",
        ));
    }
    Ok(at)
}

fn shape() -> AppError {
    AppError::bad_request(
        "servers must be a dict of the form {server_name: {last_activity: timestamp}}",
    )
}
