//! Making an account of one's own (`NativeAuthenticator.open_signup`).

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tracing::info;

use super::login::{anonymous, enter};
use crate::accounts;
use crate::app::App;
use crate::audit;
use crate::auth::password;
use crate::auth::posted::{Fields, PostedAnonymously, STALE};
use crate::auth::throttle::{self, Admission};
use crate::db::users::User;
use crate::error::AppError;
use crate::names::UserName;
use crate::peer::Client;
use crate::sessions::Refused;
use crate::templates::{self, SignupPage};

/// Counts the tries of an address, and is nobody's name.
const TRIES: &str = "/signup";

/// GET /hub/signup
pub async fn form(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    open(&app)?;
    Ok(show(&app, &client, &headers, StatusCode::OK, "", None))
}

/// POST /hub/signup
pub async fn sign_up(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    PostedAnonymously(posted): PostedAnonymously,
) -> Result<Response, AppError> {
    open(&app)?;
    let (made, fields) = match posted {
        Ok(fields) => (make(&app, &client, &fields).await?, fields),
        Err(stale) => (Err(Refused::new(StatusCode::FORBIDDEN, STALE)), stale),
    };
    match made {
        Ok(user) => enter(&app, &client, &headers, &user, None).await,
        Err(refused) => {
            let name = fields.get("username");
            let (status, error) = (refused.status, Some(refused.message));
            Ok(show(&app, &client, &headers, status, name, error))
        }
    }
}

fn open(app: &App) -> Result<(), AppError> {
    match accounts::has_signup(&app.config) {
        true => Ok(()),
        false => Err(AppError::not_found(
            "Nobody makes an account here by themselves.",
        )),
    }
}

async fn make(
    app: &App,
    client: &Client,
    fields: &Fields,
) -> Result<Result<User, Refused>, AppError> {
    let refused = |message: String| Ok(Err(Refused::new(StatusCode::BAD_REQUEST, message)));
    let name = match UserName::normalize(fields.get("username").trim()) {
        Ok(name) => name,
        Err(invalid) => return refused(invalid.to_string()),
    };
    let password = fields.get("signup_password");
    if password != fields.get("signup_password_confirmation") {
        return refused("The two passwords differ.".to_owned());
    }
    if let Some(wrong) = accounts::password_error(&app.config, password) {
        return refused(wrong);
    }
    let named = accounts::is_named(&app.config, &name);
    if named || !accounts::may_log_in(&app.config, &name, None, true) {
        return refused("This user name is not allowed here.".to_owned());
    }
    let _turn = match throttle::admit(&app.db, client.address, TRIES, true).await? {
        Admission::Admitted(turn) => turn,
        Admission::Refused(seconds) => {
            let message = format!("Too many tries. Try again in {seconds} seconds.");
            return Ok(Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, message)));
        }
    };
    let hash = password::hash(password.to_owned()).await?;
    // Who fails to take somebody's name is not told of as that one.
    if app.db.user(&name).await?.is_none() {
        audit::by_user(&name);
    }
    if !app.db.sign_up(&name, &hash).await? {
        return refused("This user name is taken.".to_owned());
    }
    info!(user.name = %name, client.address = %client.address, "User {name} signed up");
    let user = app.db.user(&name).await?;
    Ok(user.ok_or_else(|| Refused::new(StatusCode::CONFLICT, "This account was deleted.")))
}

fn show(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    status: StatusCode,
    username: &str,
    error: Option<String>,
) -> Response {
    anonymous(app, client, headers, |page| {
        let page = SignupPage {
            page,
            username: username.to_owned(),
            minimum_length: accounts::minimum_length(&app.config),
            error,
        };
        templates::respond(status, &page)
    })
}
