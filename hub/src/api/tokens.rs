//! `/hub/api/users/:user/tokens`: tokens for programs.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::info;

use super::{JsonBody, find_user, models};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::secret;
use crate::db;
use crate::db::tokens::{ApiToken, NewToken};
use crate::db::users::User;
use crate::error::AppError;
use crate::names::Named;
use crate::scopes::{Scopes, Target};
use crate::time;

/// What may be said of a new token.
#[derive(Debug, Default)]
pub struct TokenRequest {
    pub note: Option<String>,
    /// Seconds; none means that the token does not end by itself.
    pub expires_in: Option<i64>,
    /// None means all that the owner may do.
    pub scopes: Option<Vec<String>>,
}

/// The last word of a token's path.
#[derive(Debug, Deserialize)]
pub struct OneToken {
    id: String,
}

/// GET /users/:user/tokens
pub async fn list(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    caller.permit("read:tokens", Target::User(&named.user))?;
    let user = find_user(&app, &named.user).await?;
    let tokens = app.db.tokens_of(user.id).await?;
    let models: Vec<_> = tokens
        .iter()
        .map(|token| models::token(token, &user))
        .collect();
    Ok(Json(json!({ "api_tokens": models })))
}

/// POST /users/:user/tokens
pub async fn create(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, AppError> {
    caller.permit("tokens", Target::User(&named.user))?;
    let user = find_user(&app, &named.user).await?;
    let (stored, token) = create_for(&app, &user, &caller.scopes, request(&body)?).await?;
    let mut model = models::token(&stored, &user);
    model.insert("token".to_owned(), Value::String(token));
    let location = [(header::LOCATION, models::token_url(&app, &user, stored.id))];
    Ok((StatusCode::CREATED, location, Json(Value::Object(model))).into_response())
}

/// GET /users/:user/tokens/:id
pub async fn get(
    State(app): State<App>,
    named: Named,
    Path(OneToken { id }): Path<OneToken>,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    caller.permit("read:tokens", Target::User(&named.user))?;
    let user = find_user(&app, &named.user).await?;
    let tokens = app.db.tokens_of(user.id).await?;
    let token = tokens.iter().find(|token| Some(token.id) == parse_id(&id));
    let token = token.ok_or_else(|| AppError::not_found("No such token"))?;
    Ok(Json(Value::Object(models::token(token, &user))))
}

/// DELETE /users/:user/tokens/:id
pub async fn revoke(
    State(app): State<App>,
    named: Named,
    Path(OneToken { id }): Path<OneToken>,
    caller: Caller,
) -> Result<StatusCode, AppError> {
    caller.permit("tokens", Target::User(&named.user))?;
    let user = find_user(&app, &named.user).await?;
    let unknown = || AppError::not_found("No such token");
    let id = parse_id(&id).ok_or_else(unknown)?;
    if !app.db.revoke_token(user.id, id).await? {
        return Err(unknown());
    }
    info!(user.name = %user.name, by = %caller.user.name, token.id = id, "Token revoked");
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a token for `owner` that may do no more than who asks for it; returns it with the token itself, which is
/// not stored.
pub async fn create_for(
    app: &App,
    owner: &User,
    asker: &Scopes,
    request: TokenRequest,
) -> Result<(ApiToken, String), AppError> {
    let scopes = request
        .scopes
        .unwrap_or_else(|| vec![String::from("inherit")]);
    let of_owner = Scopes::of_user(&owner.name, owner.admin);
    let wanted = Scopes::parse(scopes.iter().map(String::as_str), owner.owner())?;
    if !wanted.is_subset(asker) || !wanted.is_subset(&of_owner) {
        return Err(AppError::forbidden(
            "A token cannot have more scopes than its owner and than who asks for it.",
        ));
    }
    let note: String = request
        .note
        .as_deref()
        .unwrap_or("Requested via api")
        .chars()
        .take(255)
        .collect();
    let expires = request.expires_in.map(expiry).transpose()?;
    let token = secret::generate();
    let hash = secret::hash(&token);
    let new = NewToken {
        token_hash: &hash,
        user_id: owner.id,
        scopes: &scopes,
        note: &note,
        expires,
        ..NewToken::default()
    };
    app.db.add_token(new).await?;
    info!(user.name = %owner.name, "Token made for {}", owner.name);
    let stored = app
        .db
        .token(&hash)
        .await?
        .ok_or_else(|| AppError::bad_request("The token ends before it begins."))?;
    Ok((stored, token))
}

/// When a token ends that is to last for so many seconds; refused where that time cannot be told.
pub fn expiry(seconds: i64) -> Result<i64, AppError> {
    let expires = db::after(seconds);
    if expires > time::LATEST {
        return Err(AppError::bad_request(
            "expires_in reaches beyond the year 9999; leave it out for a token that does not end by itself",
        ));
    }
    Ok(expires)
}

/// `a<number>`, the public id of a token.
pub fn parse_id(id: &str) -> Option<i64> {
    id.strip_prefix('a')?.parse().ok()
}

fn request(body: &serde_json::Map<String, Value>) -> Result<TokenRequest, AppError> {
    let bad = |what: &str| AppError::bad_request(what.to_owned());
    let note = match body.get("note") {
        None | Some(Value::Null) => None,
        Some(note) => Some(
            note.as_str()
                .ok_or_else(|| bad("note must be a string"))?
                .to_owned(),
        ),
    };
    let expires_in =
        match body.get("expires_in") {
            None | Some(Value::Null) => None,
            // 0 is not "never" (JupyterHub 6.1).
            Some(seconds) => {
                let seconds = seconds.as_i64().filter(|seconds| *seconds > 0);
                Some(seconds.ok_or_else(|| {
                    bad("expires_in must be a number of seconds above 0, or null")
                })?)
            }
        };
    if body
        .get("roles")
        .is_some_and(|roles| roles.as_array().is_none_or(|roles| !roles.is_empty()))
    {
        return Err(bad("Tokens hold scopes here, not roles: give scopes."));
    }
    let scopes = match body.get("scopes") {
        None | Some(Value::Null) => None,
        Some(scopes) => {
            let list: Option<Vec<String>> = scopes.as_array().and_then(|list| {
                list.iter()
                    .map(|scope| scope.as_str().map(str::to_owned))
                    .collect()
            });
            Some(list.ok_or_else(|| bad("scopes must be a list of strings"))?)
        }
    };
    Ok(TokenRequest {
        note,
        expires_in,
        scopes,
    })
}
