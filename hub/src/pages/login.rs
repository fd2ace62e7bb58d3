//! Logging in and out.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::{next_path, see_other};
use crate::accounts;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::cookies::{self, Life};
use crate::auth::posted::{PostedAnonymously, STALE};
use crate::auth::{secret, username};
use crate::authenticators::Authenticator;
use crate::db::users::User;
use crate::error::AppError;
use crate::peer::Client;
use crate::sessions;
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
    let Authenticator::Form(authenticator) = &app.authenticator;
    let given = (fields.get("username").trim(), fields.get("password"));
    match sessions::by_password(&app, &client, authenticator.as_ref(), given).await? {
        Ok(user) => enter(&app, &client, &headers, &user, next.as_deref()).await,
        Err(refused) => again(refused.status, refused.message, fields.get("username")).await,
    }
}

/// GET /hub/logout
pub async fn log_out(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let page = Page {
        hub: app.urls.hub.clone(),
        ..Page::default()
    };
    let mut response = templates::respond(StatusCode::OK, &LogoutPage { page });
    sessions::end(&app, &client, &headers, &mut response).await?;
    Ok(response)
}

/// To the page that was asked for, with a new session.
async fn enter(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    user: &User,
    next: Option<&str>,
) -> Result<Response, AppError> {
    let landing = sessions::landing(app, user).await?;
    let mut response = see_other(next.unwrap_or(&landing));
    sessions::begin(app, client, headers, user, &mut response).await?;
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
        let set = if new { &set[..] } else { &set[1..] };
        cookies::append(&mut response, client.https, set);
        Ok(response)
    }
}
