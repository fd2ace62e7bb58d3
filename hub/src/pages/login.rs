//! Logging in and out.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use tracing::{info, warn};

use super::{next_path, see_other};
use crate::accounts;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::cookies::{self, Life};
use crate::auth::posted::{Fields, PostedAnonymously, STALE};
use crate::auth::throttle::{self, Admission};
use crate::auth::{password, secret, username};
use crate::db;
use crate::db::users::User;
use crate::error::AppError;
use crate::names::UserName;
use crate::peer::Client;
use crate::templates::{self, LoginPage, LogoutPage, Page};

/// GET /hub/login
pub async fn form(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let next = next_path(query.as_deref(), &headers);
    if Login::find(&app, &headers).await?.is_some() {
        return Ok(see_other(&next.unwrap_or_else(|| app.urls.home())));
    }
    let form = Form {
        next: next.unwrap_or_default(),
        ..Form::default()
    };
    form.show(&app, StatusCode::OK, &client, &headers).await
}

/// POST /hub/login
pub async fn log_in(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    client: Client,
    headers: HeaderMap,
    PostedAnonymously(posted): PostedAnonymously,
) -> Result<Response, AppError> {
    let next = next_path(query.as_deref(), &headers);
    let again = async |status, error: String, name: &str| {
        let username = if name.len() <= username::MAX_LENGTH {
            name.to_owned()
        } else {
            String::new()
        };
        let form = Form {
            next: next.clone().unwrap_or_default(),
            username,
            error: Some(error),
        };
        form.show(&app, status, &client, &headers).await
    };
    let fields = match posted {
        Ok(fields) => fields,
        // A tab that was left open: meanwhile another one logged in.
        Err(_) if Login::find(&app, &headers).await?.is_some() => {
            return Ok(see_other(&next.unwrap_or_else(|| app.urls.home())));
        }
        Err(stale) => {
            return again(
                StatusCode::FORBIDDEN,
                STALE.to_owned(),
                stale.get("username"),
            )
            .await;
        }
    };
    match check(&app, &client, &fields).await? {
        Checked::Right(user) => enter(&app, &client, &headers, user, next.as_deref()).await,
        Checked::Refused(status, message) => again(status, message, fields.get("username")).await,
    }
}

/// GET /hub/logout
pub async fn log_out(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    if let Some(login) = Login::find(&app, &headers).await? {
        app.db.end_session(&login.session.session_id).await?;
        info!(user.name = %login.user().name, "User {} logged out", login.user().name);
    }
    let page = Page {
        hub: app.urls.hub.clone(),
        ..Page::default()
    };
    let mut response = templates::respond(StatusCode::OK, &LogoutPage { page });
    let hub = app.urls.hub.as_str();
    let ended = [
        (cookies::LOGIN, "", hub, Life::Ended),
        (cookies::XSRF, "", hub, Life::Ended),
        (cookies::SESSION_ID, "", &app.urls.base, Life::Ended),
    ];
    set_cookies(&mut response, &client, &ended);
    Ok(response)
}

enum Checked {
    Right(User),
    Refused(StatusCode, String),
}

/// Whether name and password belong to somebody who may log in. Every refusal after a look at the database reads
/// the same, so that nobody learns which names exist.
async fn check(app: &App, client: &Client, fields: &Fields) -> Result<Checked, AppError> {
    let (given, password) = (fields.get("username").trim(), fields.get("password"));
    let name = match UserName::normalize(given) {
        Ok(name) => name,
        Err(invalid) => {
            warn!(user.name = %username::for_log(given), client.address = %client.address, "Failed login: {invalid}");
            return Ok(Checked::Refused(
                StatusCode::BAD_REQUEST,
                invalid.to_string(),
            ));
        }
    };
    let _turn = match throttle::admit(&app.db, client.address, &name).await? {
        Admission::Admitted(turn) => turn,
        Admission::Refused(seconds) => {
            warn!(user.name = %username::for_log(&name), client.address = %client.address, "Failed login: too many tries");
            let message = format!("Too many failed logins. Try again in {seconds} seconds.");
            return Ok(Checked::Refused(StatusCode::TOO_MANY_REQUESTS, message));
        }
    };
    if password.len() > password::MAX_LENGTH {
        return Ok(Checked::Refused(
            StatusCode::BAD_REQUEST,
            "This password is too long.".to_owned(),
        ));
    }
    let stored = app.db.password_hash(&name).await?;
    let right = password::verify(password.to_owned(), stored).await?;
    let user = app.db.user(&name).await?.filter(|_| right);
    let user = user.filter(|user| accounts::may_log_in(&app.config, &name, user.added));
    let Some(user) = user else {
        throttle::failed(&app.db, client.address).await?;
        warn!(user.name = %username::for_log(&name), client.address = %client.address, "Failed login");
        return Ok(Checked::Refused(
            StatusCode::FORBIDDEN,
            "Invalid username or password".to_owned(),
        ));
    };
    throttle::succeeded(&app.db, client.address, &name).await?;
    Ok(Checked::Right(user))
}

/// Begins a new session: an id that was set before the login is never taken over.
async fn enter(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    user: User,
    next: Option<&str>,
) -> Result<Response, AppError> {
    // A login over an older one of this browser ends that one.
    if let Some(old) = Login::find(app, headers).await? {
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
    let home = super::home::after_login(app, &user).await?;
    let mut response = see_other(next.unwrap_or(&home));
    let (hub, life) = (app.urls.hub.as_str(), Life::Seconds(seconds));
    let set = [
        (cookies::LOGIN, token.as_str(), hub, life),
        (cookies::SESSION_ID, &session_id, &app.urls.base, life),
        (cookies::XSRF, &app.xsrf.token(&token), hub, life),
        (cookies::FORM_ID, "", hub, Life::Ended),
    ];
    set_cookies(&mut response, client, &set);
    Ok(response)
}

#[derive(Debug, Default)]
struct Form {
    next: String,
    username: String,
    error: Option<String>,
}

impl Form {
    /// The form with a token that belongs to this browser's form cookie, which is set where there is none.
    async fn show(
        self,
        app: &App,
        status: StatusCode,
        client: &Client,
        headers: &HeaderMap,
    ) -> Result<Response, AppError> {
        let cookie = cookies::all(headers, cookies::FORM_ID)
            .next()
            .map(str::to_owned);
        let new = cookie.is_none();
        let cookie = cookie.unwrap_or_else(secret::generate);
        let xsrf = app.xsrf.token(&cookie);
        let page = Page {
            hub: app.urls.hub.clone(),
            xsrf: xsrf.clone(),
            ..Page::default()
        };
        let page = LoginPage {
            page,
            next: self.next,
            username: self.username,
            error: self.error,
            first_account: accounts::first_account(&app.config, &app.db).await?,
        };
        let mut response = templates::respond(status, &page);
        let hub = app.urls.hub.as_str();
        let set = [
            (cookies::FORM_ID, cookie.as_str(), hub, Life::Browser),
            (cookies::XSRF, &xsrf, hub, Life::Browser),
        ];
        set_cookies(&mut response, client, if new { &set } else { &set[1..] });
        Ok(response)
    }
}

/// Cookies by name, value, path and life.
fn set_cookies(response: &mut Response, client: &Client, set: &[(&str, &str, &str, Life)]) {
    for (name, value, path, life) in set {
        if let Some(cookie) = cookies::set(name, value, path, *life, client.https) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}
