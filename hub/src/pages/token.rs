//! The token page: tokens for programs, made and revoked by their owner.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use tracing::info;

use super::see_other;
use crate::access::permit::ChangeTokens;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::{Posted, STALE};
use crate::error::AppError;
use crate::names::UserName;
use crate::templates::{self, TokenPage, TokenRow};
use crate::time;
use crate::tokens::{self, TokenRequest};

/// GET /hub/token
pub async fn list(State(app): State<App>, login: Login) -> Result<Response, AppError> {
    show(&app, &login, StatusCode::OK, None, None).await
}

/// POST /hub/token
pub async fn create(State(app): State<App>, posted: Posted) -> Result<Response, AppError> {
    let login = posted.login;
    let Ok(fields) = posted.fields else {
        return show_stale(&app, &login).await;
    };
    let expires_in = match fields.get("expires_in") {
        "" => None,
        text => match text.parse::<i64>() {
            Ok(seconds) if seconds > 0 && tokens::expiry(seconds).is_ok() => Some(seconds),
            _ => {
                let error = Some(String::from(
                    "The time until the token ends is a number of seconds, and not beyond the year 9999.",
                ));
                return show(&app, &login, StatusCode::BAD_REQUEST, None, error).await;
            }
        },
    };
    let note = fields.get("note");
    let note = if note.is_empty() {
        "Requested via token page"
    } else {
        note
    };
    let request = TokenRequest {
        note: note.to_owned(),
        expires_in,
        ..TokenRequest::default()
    };
    let permit = login.permit(ChangeTokens(UserName::of(login.user())))?;
    let (_, token) = tokens::create(&app, &permit, &login.scopes, request).await?;
    show(&app, &login, StatusCode::OK, Some(token), None).await
}

/// POST /hub/token/revoke
pub async fn revoke(State(app): State<App>, posted: Posted) -> Result<Response, AppError> {
    let login = posted.login;
    let Ok(fields) = posted.fields else {
        return show_stale(&app, &login).await;
    };
    login.permit(ChangeTokens(UserName::of(login.user())))?;
    if let Some(id) = tokens::parse_id(fields.get("id")) {
        app.db.revoke_token(login.user().id, id).await?;
        info!(user.name = %login.user().name, token.id = id, "Token revoked");
    }
    Ok(see_other(&format!("{}token", app.urls.hub)))
}

async fn show_stale(app: &App, login: &Login) -> Result<Response, AppError> {
    let error = Some(STALE.to_owned());
    show(app, login, StatusCode::FORBIDDEN, None, error).await
}

async fn show(
    app: &App,
    login: &Login,
    status: StatusCode,
    new_token: Option<String>,
    error: Option<String>,
) -> Result<Response, AppError> {
    let tokens = app.db.tokens_of(login.user().id).await?.into_iter();
    // A server's own token is not its user's to revoke: it would cut the server off.
    let rows = tokens
        .filter(|token| token.server_id.is_none())
        .map(|token| TokenRow {
            id: format!("a{}", token.id),
            note: token.note,
            scopes: token.scopes,
            created: time::human(token.created),
            last_used: token.last_activity.map(time::human),
            expires: token.expires.map(time::human),
        });
    let page = TokenPage {
        page: login.page(app),
        tokens: rows.collect(),
        new_token,
        error,
    };
    Ok(templates::respond(status, &page))
}
