//! The token page: tokens for programs, made and revoked by their owner.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use tracing::info;

use super::see_other;
use crate::access::permit::ChangeTokens;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::{Fields, Posted, STALE};
use crate::error::AppError;
use crate::names::UserName;
use crate::templates::{self, Lifetime, TokenPage, TokenRow};
use crate::time;
use crate::tokens::{self, TokenRequest};

/// What the form shows again, and what became of it.
#[derive(Debug, Default)]
struct Form {
    note: String,
    scopes: String,
    new_token: Option<String>,
    error: Option<String>,
}

impl Form {
    fn failed(error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::default()
        }
    }
}

/// GET /hub/token
pub async fn list(State(app): State<App>, login: Login) -> Result<Response, AppError> {
    show(&app, &login, StatusCode::OK, Form::default()).await
}

/// POST /hub/token: fields `note`, `expires_in` in seconds, and `scopes`, with blanks between them.
pub async fn create(State(app): State<App>, posted: Posted) -> Result<Response, AppError> {
    let login = posted.login;
    let Ok(fields) = posted.fields else {
        return show_stale(&app, &login).await;
    };
    let permit = login.permit(ChangeTokens(UserName::of(login.user())))?;
    let made = match request(&fields) {
        Ok(request) => tokens::create(&app, &permit, &login.scopes, request).await,
        Err(error) => Err(error),
    };
    match made {
        Ok((_, token)) => {
            let form = Form {
                new_token: Some(token),
                ..Form::default()
            };
            show(&app, &login, StatusCode::OK, form).await
        }
        Err(error) => {
            let (status, message) = error.into_parts();
            let form = Form {
                note: fields.get("note").to_owned(),
                scopes: fields.get("scopes").to_owned(),
                ..Form::failed(message)
            };
            show(&app, &login, status, form).await
        }
    }
}

fn request(fields: &Fields) -> Result<TokenRequest, AppError> {
    let expires_in = match fields.get("expires_in") {
        "" => None,
        text => match text.parse::<i64>() {
            Ok(seconds) if seconds > 0 && tokens::expiry(seconds).is_ok() => Some(seconds),
            _ => {
                return Err(AppError::bad_request(
                    "The time until the token ends is a number of seconds, and not beyond the year 9999.",
                ));
            }
        },
    };
    let note = match fields.get("note") {
        "" => "Requested via token page",
        note => note,
    };
    let scopes = fields.get("scopes").split_whitespace();
    let scopes: Vec<String> = scopes.map(str::to_owned).collect();
    Ok(TokenRequest {
        note: note.to_owned(),
        expires_in,
        scopes: (!scopes.is_empty()).then_some(scopes),
        roles: None,
    })
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
    show(app, login, StatusCode::FORBIDDEN, Form::failed(STALE)).await
}

async fn show(
    app: &App,
    login: &Login,
    status: StatusCode,
    form: Form,
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
        note: form.note,
        scopes: form.scopes,
        lifetimes: lifetimes(app.config.jupyter_hub.longest_token()),
        new_token: form.new_token,
        error: form.error,
    };
    Ok(templates::respond(status, &page))
}

/// How long a new token may last, where no more than `most` seconds are allowed: 0 for any time (jupyterhub/handlers/pages.py,
/// `TokenPageHandler`).
fn lifetimes(most: i64) -> Vec<Lifetime> {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    let usual = [
        (HOUR, "in 1 hour"),
        (DAY, "in 1 day"),
        (7 * DAY, "in 1 week"),
        (30 * DAY, "in 30 days"),
    ];
    let allowed = usual
        .iter()
        .filter(|(seconds, _)| most == 0 || *seconds <= most);
    let mut all: Vec<Lifetime> = allowed
        .map(|(seconds, label)| Lifetime {
            seconds: seconds.to_string(),
            label: (*label).to_owned(),
            chosen: *seconds == 7 * DAY,
        })
        .collect();
    if usual.iter().all(|(seconds, _)| *seconds != most) {
        all.push(Lifetime {
            seconds: String::new(),
            label: match most {
                0 => String::from("never"),
                most if most < 3 * DAY => {
                    format!("as late as may be ({} hours)", (most + HOUR - 1) / HOUR)
                }
                most => format!("as late as may be ({} days)", most / DAY),
            },
            chosen: false,
        });
    }
    if let Some(last) = all.last_mut().filter(|_| most != 0 && most < 7 * DAY) {
        last.chosen = true;
    }
    all
}
