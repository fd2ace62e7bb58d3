//! `/hub/api/user` and `/hub/api/users/:user`.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use http::StatusCode;
use serde_json::{Value, json};
use tracing::info;

use super::{JsonBody, find_user, models};
use crate::accounts;
use crate::app::App;
use crate::auth::caller::Caller;
use crate::error::AppError;
use crate::names::{Named, UserName};
use crate::pages::argument;
use crate::scopes::{Scopes, Target, identify_scopes};

/// GET /user: who am I? The answer that lets a visitor into a server.
pub async fn whoami(State(app): State<App>, caller: Caller) -> Result<Json<Value>, AppError> {
    // Every token may say who owns it; those scopes are not listed (SelfAPIHandler).
    let identify = identify_scopes(&caller.user.name);
    let identify = identify.iter().map(String::as_str);
    let mut readable = Scopes::parse(identify, caller.user.owner())?;
    readable.extend(&caller.scopes);
    let servers = app.db.servers_of(caller.user.id).await?;
    let mut model = models::user(&app, &caller.user, &servers, false, &readable);
    let token = caller.token.as_ref();
    model.insert(
        "token_id".to_owned(),
        json!(token.map(|token| format!("a{}", token.id))),
    );
    model.insert(
        "session_id".to_owned(),
        json!(token.and_then(|token| token.session_id.clone())),
    );
    model.insert("scopes".to_owned(), json!(caller.scopes.to_list()));
    Ok(Json(Value::Object(model)))
}

/// GET /users/:user
pub async fn get(
    State(app): State<App>,
    named: Named,
    RawQuery(query): RawQuery,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    let readable = [
        "read:users:name",
        "read:users:groups",
        "read:users:activity",
        "read:servers",
        "read:roles:users",
    ];
    if !readable
        .iter()
        .any(|scope| caller.scopes.holds(scope, Target::User(&named.user)))
    {
        // 404 and not 403: whether the user exists is not told.
        return Err(AppError::not_found("No such user"));
    }
    let user = find_user(&app, &named.user).await?;
    let stopped = argument(query.as_deref(), "include_stopped_servers")
        .is_some_and(|value| value != "0" && value != "false");
    let servers = app.db.servers_of(user.id).await?;
    Ok(Json(Value::Object(models::user(
        &app,
        &user,
        &servers,
        stopped,
        &caller.scopes,
    ))))
}

/// POST /users/:user
pub async fn create(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Value>), AppError> {
    // A new user is in no filter: only the unfiltered scope creates (GHSA-69wv-m5fw-2fhp).
    caller.permit("admin:users", Target::Hub)?;
    let admin = body.get("admin").and_then(Value::as_bool).unwrap_or(false);
    if admin && !caller.user.admin {
        return Err(AppError::forbidden(
            "Only admins can grant admin permissions",
        ));
    }
    let name =
        UserName::normalize(&name).map_err(|invalid| AppError::bad_request(invalid.to_string()))?;
    if !accounts::fits_pattern(&app.config, &name) {
        return Err(AppError::bad_request(format!(
            "The user name {:?} does not fit Authenticator.username_pattern",
            &*name
        )));
    }
    if !app.db.add_user_by_admin(&name, admin).await? {
        return Err(AppError::new(
            StatusCode::CONFLICT,
            format!("User {name} already exists"),
        ));
    }
    info!(user.name = %name, by = %caller.user.name, admin, "User {name} was added");
    let user = find_user(&app, &name).await?;
    Ok((
        StatusCode::CREATED,
        Json(Value::Object(models::user(
            &app,
            &user,
            &[],
            false,
            &caller.scopes,
        ))),
    ))
}
