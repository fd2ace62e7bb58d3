//! Coming in: who is known to be somebody gets a user and a login session. Knows no page and no way of logging in.

use std::time::Instant;

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tracing::{error, info, warn};

use crate::app::App;
use crate::audit;
use crate::auth::caller::Login;
use crate::auth::cookies::{self, Life};
use crate::auth::throttle::{self, Admission};
use crate::auth::username::{self, escape};
use crate::auth::{password, secret};
use crate::authenticators::{CheckPassword, Refusal};
use crate::chain::chain;
use crate::db;
use crate::db::servers::State as RunState;
use crate::db::users::User;
use crate::error::AppError;
use crate::identities;
use crate::names::UserName;
use crate::peer::Client;
use crate::subdomains::Subdomains;

/// What is shown to somebody who does not come in.
#[derive(Debug)]
pub struct Refused {
    pub status: StatusCode,
    pub message: String,
}

impl Refused {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, message }
    }
}

/// Who has this name and password and may come in. Every refusal after a look at the password reads the same, so that
/// nobody learns which names exist.
pub async fn by_password(
    app: &App,
    client: &Client,
    authenticator: &dyn CheckPassword,
    (given, password): (&str, &str),
) -> Result<Result<User, Refused>, AppError> {
    let refused = |status, message: String| Ok(Err(Refused::new(status, message)));
    let name = match UserName::normalize(given) {
        Ok(name) => name,
        Err(invalid) => {
            warn!(user.name = %username::for_log(given), client.address = %client.address, "Failed login: {invalid}");
            return refused(StatusCode::BAD_REQUEST, invalid.to_string());
        }
    };
    if password.len() > password::MAX_LENGTH {
        let message = "This password is too long.";
        return refused(StatusCode::BAD_REQUEST, message.to_owned());
    }
    let check = async {
        match authenticator.check(&name, password).await {
            Ok(identity) => Ok(Looked::from(
                identities::admit(app, client, identity).await?,
            )),
            Err(Refusal::Failed(attempted, cause)) => {
                error!(error = %chain(cause.as_ref()), "Nobody can log in: could not {attempted}");
                Ok(Looked::InVain)
            }
            Err(Refusal::Wrong | Refusal::Forbidden(_)) => Ok(Looked::Wrong),
        }
    };
    let begun = Instant::now();
    let looked = limited(app, client, &name, authenticator.hashes(), check).await?;
    let well = matches!(looked, Looked::Right(_));
    app.metrics.logged_in(well, begun.elapsed());
    match looked {
        Looked::Right(user) => Ok(Ok(user)),
        Looked::Wrong => {
            warn!(user.name = %username::for_log(&name), client.address = %client.address, "Failed login");
            let message = "Invalid username or password".to_owned();
            refused(StatusCode::FORBIDDEN, message)
        }
        Looked::TooMany(seconds) => {
            warn!(user.name = %username::for_log(&name), client.address = %client.address, "Failed login: too many tries");
            let message = format!("Too many failed logins. Try again in {seconds} seconds.");
            refused(StatusCode::TOO_MANY_REQUESTS, message)
        }
        Looked::InVain => {
            let message = "Your password could not be checked just now. Try again in a moment; if it stays so, tell your \
                           administrator.";
            refused(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
        }
    }
}

/// What a look at a password has shown.
#[derive(Debug)]
pub enum Looked {
    Right(User),
    Wrong,
    /// It was not looked at: seconds to wait.
    TooMany(u64),
    /// Who knows could not be asked; the log says why.
    InVain,
}

impl From<Option<User>> for Looked {
    fn from(user: Option<User>) -> Self {
        user.map_or(Self::Wrong, Self::Right)
    }
}

/// Has a password looked at that somebody gives for `name`, unless too many were given before; whether that is `hashed`
/// here is told to [`throttle::admit`].
pub async fn limited(
    app: &App,
    client: &Client,
    name: &str,
    hashed: bool,
    look: impl Future<Output = Result<Looked, AppError>>,
) -> Result<Looked, AppError> {
    let _turn = match throttle::admit(&app.db, client.address, name, hashed).await? {
        Admission::Admitted(turn) => turn,
        Admission::Refused(seconds) => return Ok(Looked::TooMany(seconds)),
    };
    let looked = look.await?;
    match looked {
        Looked::Right(_) => throttle::succeeded(&app.db, client.address, name).await?,
        Looked::Wrong => throttle::failed(&app.db, client.address).await?,
        Looked::TooMany(_) | Looked::InVain => {}
    }
    Ok(looked)
}

/// Begins a new session: an id that was set before the login is never taken over.
pub async fn begin(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    user: &User,
    response: &mut Response,
) -> Result<(), AppError> {
    // A login over an older one of this browser ends that one.
    if let Some(old) = Login::known(app, headers).await? {
        app.db.end_session(&old.session.session_id).await?;
    }
    let token = secret::generate();
    let session_id = uuid::Uuid::new_v4().simple().to_string();
    let seconds = app.login_seconds();
    let (token_hash, expires) = (secret::hash(&token), db::after(seconds));
    app.db
        .add_session(&token_hash, &session_id, user.id, expires)
        .await?;
    app.db.user_was_active(user.id, db::now()).await?;
    info!(user.name = %user.name, client.address = %client.address, "User {} logged in", user.name);
    let (hub, life) = (app.urls.hub.as_str(), Life::Seconds(seconds));
    let set = [
        (app.cookie(&cookies::LOGIN), token.as_str(), hub, life),
        (cookies::XSRF, &app.xsrf.token(&token), hub, life),
        (app.cookie(&cookies::FORM_ID), "", hub, Life::Ended),
    ];
    cookies::append(response, client.https, None, &set);
    set_session_id(app, client, response, &session_id, life);
    Ok(())
}

/// Ends the session of this browser, if it has one.
pub async fn end(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    response: &mut Response,
) -> Result<(), AppError> {
    if let Some(login) = Login::known(app, headers).await? {
        audit::by_user(&login.user().name);
        app.db.end_session(&login.session.session_id).await?;
        info!(user.name = %login.user().name, "User {} logged out", login.user().name);
    }
    let hub = app.urls.hub.as_str();
    let ended = [
        (app.cookie(&cookies::LOGIN), "", hub, Life::Ended),
        (cookies::XSRF, "", hub, Life::Ended),
    ];
    cookies::append(response, client.https, None, &ended);
    set_session_id(app, client, response, "", Life::Ended);
    Ok(())
}

/// Servers read it too, on hosts of their own.
fn set_session_id(app: &App, client: &Client, response: &mut Response, id: &str, life: Life) {
    let domain = app.urls.subdomains.as_ref().map(Subdomains::domain);
    let cookie = (cookies::SESSION_ID, id, app.urls.base.as_str(), life);
    cookies::append(response, client.https, domain, &[cookie]);
}

/// Where a user goes on who asked for no page: `JupyterHub.default_url`; a running server, if `redirect_to_server` says
/// so; the home page. A server is never started by a link alone: starting needs a form of the Hub.
pub async fn landing(app: &App, user: &User) -> Result<String, AppError> {
    let hub = &app.config.jupyter_hub;
    if let Some(url) = &hub.default_url {
        return Ok(url.replace("{username}", &escape(&user.name)));
    }
    let running = app
        .db
        .server(&user.name, "")
        .await?
        .is_some_and(|server| server.state == RunState::Ready);
    if hub.redirect_to_server && running {
        return Ok(app.urls.public(&app.urls.server(&user.name, "")));
    }
    Ok(app.urls.home())
}
