//! Changing one's password.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use tracing::{info, warn};

use super::login::MAX_PASSWORD;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::password;
use crate::auth::posted::{Fields, Posted, STALE};
use crate::auth::throttle;
use crate::error::AppError;
use crate::peer::Client;
use crate::templates::{self, ChangePasswordPage};

/// GET /hub/change-password
pub async fn form(State(app): State<App>, login: Login) -> Response {
    show(&app, &login, StatusCode::OK, None, false)
}

/// POST /hub/change-password
pub async fn change(
    State(app): State<App>,
    client: Client,
    posted: Posted,
) -> Result<Response, AppError> {
    let mut login = posted.login;
    let Ok(fields) = posted.fields else {
        return Ok(show(
            &app,
            &login,
            StatusCode::FORBIDDEN,
            Some(STALE.to_owned()),
            false,
        ));
    };
    if let Err((status, message)) = check(&app, &login, &client, &fields).await? {
        return Ok(show(&app, &login, status, Some(message), false));
    }
    let hash = password::hash(fields.get("new_password").to_owned()).await?;
    app.db
        .set_password(login.user().id, &hash, &login.session.session_id)
        .await?;
    info!(user.name = %login.user().name, "User {} changed the password", login.user().name);
    login.session.user.password_is_empty = false;
    Ok(show(&app, &login, StatusCode::OK, None, true))
}

type Refused = (StatusCode, String);

async fn check(
    app: &App,
    login: &Login,
    client: &Client,
    fields: &Fields,
) -> Result<Result<(), Refused>, AppError> {
    if let Err(message) = check_new(fields, minimum_length(app)) {
        return Ok(Err((StatusCode::BAD_REQUEST, message)));
    }
    let user = login.user();
    if user.password_is_empty {
        return Ok(Ok(()));
    }
    if let Some(seconds) = throttle::admit(&app.db, client.address, &user.name).await? {
        let message = format!("Too many tries. Try again in {seconds} seconds.");
        return Ok(Err((StatusCode::TOO_MANY_REQUESTS, message)));
    }
    let old: String = fields
        .get("old_password")
        .chars()
        .take(MAX_PASSWORD)
        .collect();
    if !password::verify(old, app.db.password_hash(&user.name).await?).await? {
        throttle::failed(&app.db, client.address).await?;
        warn!(user.name = %user.name, client.address = %client.address, "Failed change of password");
        return Ok(Err((
            StatusCode::FORBIDDEN,
            "The present password is wrong.".to_owned(),
        )));
    }
    throttle::succeeded(&app.db, client.address, &user.name).await?;
    Ok(Ok(()))
}

/// An empty password is never set, whatever the configuration says.
fn minimum_length(app: &App) -> usize {
    app.config
        .native_authenticator
        .minimum_password_length
        .max(1)
}

fn check_new(fields: &Fields, minimum: usize) -> Result<(), String> {
    let new = fields.get("new_password");
    if new != fields.get("new_password_confirmation") {
        return Err("The two new passwords differ.".to_owned());
    }
    if new.chars().count() < minimum {
        return Err(format!(
            "The new password needs at least {minimum} characters."
        ));
    }
    if new.len() > MAX_PASSWORD {
        return Err("The new password is too long.".to_owned());
    }
    Ok(())
}

fn show(
    app: &App,
    login: &Login,
    status: StatusCode,
    error: Option<String>,
    changed: bool,
) -> Response {
    let page = ChangePasswordPage {
        page: login.page(app),
        empty_password: login.user().password_is_empty,
        minimum_length: minimum_length(app),
        error,
        changed,
    };
    templates::respond(status, &page)
}
