//! `/hub/api/users/:user/tokens`: tokens for programs.

use std::fmt;

use axum::extract::{Path, State};
use http::{StatusCode, header};
use schemars_of_aide::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::info;

use super::answer::{Answer, Created, Done, WithHeaders};
use super::body::Body;
use super::{find_user, models, shapes};
use crate::access::permit::{ChangeTokens, Denied, ReadTokens};
use crate::access::principal::{self, Principal};
use crate::app::App;
use crate::auth::caller::{Caller, PerhapsCaller, unknown};
use crate::authenticators::Authenticator;
use crate::db::tokens::ApiToken;
use crate::db::users::User;
use crate::error::AppError;
use crate::names::Named;
use crate::peer::Client;
use crate::sessions;
use crate::tokens::{self, TokenRequest};

/// POST /users/:user/tokens
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", rename = "TokenRequest")]
pub struct NewToken {
    note: Option<String>,
    expires_in: Option<i64>,
    scopes: Option<Vec<String>>,
    roles: Option<Vec<String>>,
    auth: Option<Auth>,
}

/// Who asks, where neither a token nor a cookie says it.
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide")]
pub struct Auth {
    username: Option<String>,
    password: Option<String>,
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Auth")
    }
}

/// The last word of a token's path.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", inline)]
pub struct OneToken {
    id: String,
}

/// GET /users/:user/tokens: those used last come last.
pub async fn list(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<Answer<shapes::Tokens>, AppError> {
    let permit = caller.permit(ReadTokens(named.user))?;
    let user = find_user(&app, &permit.0).await?;
    let mut tokens = app.db.tokens_of(user.id).await?;
    tokens.sort_by_key(|token| token.last_activity.unwrap_or(token.created));
    let principal = Principal::User(user.clone());
    let of_owner = principal::scopes(&app.db, &principal).await?;
    let mut models = Vec::new();
    for token in &tokens {
        let (scopes, _) = principal::cut(&app.db, &principal, &of_owner, &token.scopes).await?;
        models.push(models::token(token, &user, &scopes));
    }
    Ok(Answer::new(json!({ "api_tokens": models })))
}

/// POST /users/:user/tokens
pub async fn create(
    State(app): State<App>,
    named: Named,
    client: Client,
    PerhapsCaller(caller): PerhapsCaller,
    body: Body<NewToken>,
) -> Result<WithHeaders<Created<shapes::NewToken>>, AppError> {
    let caller = match caller {
        Some(caller) => caller,
        None => by_password(&app, &client, &body.object_or_default()?).await?,
    };
    // 403 also for a user who does not exist, as JupyterHub answers it here alone.
    let kind = if caller.principal.user().is_some() {
        "User"
    } else {
        "Service"
    };
    let refused = |_: Denied| {
        let name = &named.user;
        AppError::forbidden(format!(
            "{kind} {name} not found or no permissions to generate tokens"
        ))
    };
    let permit = caller.permit_or(ChangeTokens(named.user.clone()), refused)?;
    let user = app.db.user(&permit.0).await?;
    let user = user.ok_or_else(|| refused(Denied::Elsewhere))?;
    let new = body.object_or_default()?;
    // 0 is not "never" (JupyterHub 6.1).
    if new.expires_in.is_some_and(|seconds| seconds < 1) {
        return Err(AppError::bad_request(
            "expires_in must be a number of seconds above 0, or null",
        ));
    }
    let request = TokenRequest {
        note: new
            .note
            .filter(|note| !note.is_empty())
            .unwrap_or_else(|| requested_by(&caller, &user)),
        expires_in: new.expires_in,
        scopes: new.scopes,
        roles: new.roles,
    };
    let (stored, token) = tokens::create(&app, &permit, &caller.scopes, request).await?;
    let mut model = model(&app, &stored, &user).await?;
    model.insert("token".to_owned(), Value::String(token));
    let location = [(header::LOCATION, models::token_url(&app, &user, stored.id))];
    Ok(WithHeaders::new(location, Created::new(model)))
}

/// Whoever gives the name and the password of a user in the body: with the limits of the login page. Other refusals are 403,
/// whatever is wrong (jupyterhub/apihandlers/users.py, `UserTokenListAPIHandler`).
async fn by_password(app: &App, client: &Client, new: &NewToken) -> Result<Caller, AppError> {
    let (Some(auth), Authenticator::Form(authenticator)) = (&new.auth, &app.authenticator) else {
        return Err(unknown());
    };
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let (name, password) = (word(&auth.username), word(&auth.password));
    let given = (name.trim(), password.as_str());
    match sessions::by_password(app, client, authenticator.as_ref(), given).await? {
        Ok(user) => Caller::known_otherwise(app, user).await,
        Err(refused) if refused.status == StatusCode::TOO_MANY_REQUESTS => {
            Err(AppError::new(refused.status, refused.message))
        }
        Err(refused) => Err(AppError::forbidden(refused.message)),
    }
}

fn requested_by(caller: &Caller, owner: &User) -> String {
    match &caller.principal {
        Principal::User(user) if user.id == owner.id => String::from("Requested via api"),
        other => format!("Requested via api by {} {}", other.kind(), other.name()),
    }
}

/// GET /users/:user/tokens/:id
pub async fn get(
    State(app): State<App>,
    named: Named,
    Path(OneToken { id }): Path<OneToken>,
    caller: Caller,
) -> Result<Answer<shapes::Token>, AppError> {
    let permit = caller.permit(ReadTokens(named.user))?;
    let user = find_user(&app, &permit.0).await?;
    let tokens = app.db.tokens_of(user.id).await?;
    let id = tokens::parse_id(&id);
    let token = tokens.iter().find(|token| Some(token.id) == id);
    let token = token.ok_or_else(|| no_such_token(&user))?;
    Ok(Answer::new(model(&app, token, &user).await?))
}

/// DELETE /users/:user/tokens/:id
pub async fn revoke(
    State(app): State<App>,
    named: Named,
    Path(OneToken { id }): Path<OneToken>,
    caller: Caller,
) -> Result<Done, AppError> {
    let permit = caller.permit(ChangeTokens(named.user))?;
    let user = find_user(&app, &permit.0).await?;
    let id = tokens::parse_id(&id).ok_or_else(|| no_such_token(&user))?;
    if !app.db.revoke_token(user.id, id).await? {
        return Err(no_such_token(&user));
    }
    info!(user.name = %user.name, by = caller.principal.name(), token.id = id, "Token revoked");
    Ok(Done)
}

/// With what it may do now, which is not all that it was given where its owner may less.
async fn model(app: &App, token: &ApiToken, owner: &User) -> Result<Map<String, Value>, AppError> {
    let principal = Principal::User(owner.clone());
    let (scopes, _) = principal::scopes_of_token(&app.db, &principal, &token.scopes).await?;
    Ok(models::token(token, owner, &scopes))
}

fn no_such_token(user: &User) -> AppError {
    AppError::not_found(format!("No such token for user {}", user.name))
}
