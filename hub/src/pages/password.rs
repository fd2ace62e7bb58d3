//! Changing one's password.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use tracing::{info, warn};

use crate::accounts;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::password;
use crate::auth::posted::{Fields, Posted, STALE};
use crate::auth::throttle::{self, Admission};
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
        .set_password(login.user().id, &hash, Some(&login.session.session_id))
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
    let new = fields.get("new_password");
    let wrong = match new == fields.get("new_password_confirmation") {
        true => accounts::password_error(&app.config, new),
        false => Some("The two new passwords differ.".to_owned()),
    };
    if let Some(message) = wrong {
        return Ok(Err((StatusCode::BAD_REQUEST, message)));
    }
    let user = login.user();
    if user.password_is_empty {
        return Ok(Ok(()));
    }
    let _turn = match throttle::admit(&app.db, client.address, &user.name).await? {
        Admission::Admitted(turn) => turn,
        Admission::Refused(seconds) => {
            let message = format!("Too many tries. Try again in {seconds} seconds.");
            return Ok(Err((StatusCode::TOO_MANY_REQUESTS, message)));
        }
    };
    let old: String = fields
        .get("old_password")
        .chars()
        .take(password::MAX_LENGTH)
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
        minimum_length: accounts::minimum_length(&app.config),
        error,
        changed,
    };
    templates::respond(status, &page)
}
