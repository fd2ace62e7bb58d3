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
use crate::error::AppError;
use crate::peer::Client;
use crate::sessions::{self, Looked, Refused};
use crate::templates::{self, ChangePasswordPage};

/// GET /hub/change-password
pub async fn form(State(app): State<App>, login: Login) -> Result<Response, AppError> {
    kept_here(&app)?;
    Ok(show(&app, &login, StatusCode::OK, None, false))
}

/// Passwords that the Hub does not keep are not its to change.
fn kept_here(app: &App) -> Result<(), AppError> {
    match app.config.jupyter_hub.authenticator_class.is_native() {
        true => Ok(()),
        false => Err(AppError::not_found("This Hub keeps no passwords.")),
    }
}

/// POST /hub/change-password
pub async fn change(
    State(app): State<App>,
    client: Client,
    posted: Posted,
) -> Result<Response, AppError> {
    kept_here(&app)?;
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
    if let Err(refused) = check(&app, &login, &client, &fields).await? {
        let error = Some(refused.message);
        return Ok(show(&app, &login, refused.status, error, false));
    }
    let hash = password::hash(fields.get("new_password").to_owned()).await?;
    app.db
        .set_password(login.user().id, &hash, Some(&login.session.session_id))
        .await?;
    info!(user.name = %login.user().name, "User {} changed the password", login.user().name);
    login.session.user.password_is_empty = false;
    Ok(show(&app, &login, StatusCode::OK, None, true))
}

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
        return Ok(Err(Refused::new(StatusCode::BAD_REQUEST, message)));
    }
    let user = login.user();
    if user.password_is_empty {
        return Ok(Ok(()));
    }
    let old: String = fields
        .get("old_password")
        .chars()
        .take(password::MAX_LENGTH)
        .collect();
    let look = async {
        let stored = app.db.password_hash(&user.name).await?;
        let right = password::verify(old, stored).await?;
        Ok(Looked::from(right.then(|| user.clone())))
    };
    Ok(
        match sessions::limited(app, client, &user.name, true, look).await? {
            Looked::TooMany(seconds) => {
                let message = format!("Too many tries. Try again in {seconds} seconds.");
                Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, message))
            }
            Looked::Right(_) => Ok(()),
            Looked::Wrong | Looked::InVain => {
                warn!(user.name = %user.name, client.address = %client.address, "Failed change of password");
                let message = "The present password is wrong.";
                Err(Refused::new(StatusCode::FORBIDDEN, message))
            }
        },
    )
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
