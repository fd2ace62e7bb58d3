//! Logging in and out.

use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use tracing::warn;

use super::{argument, next_path, see_other, with_next};
use crate::accounts;
use crate::app::App;
use crate::audit;
use crate::auth::caller::Login;
use crate::auth::cookies::{self, Life};
use crate::auth::posted::{PostedAnonymously, STALE};
use crate::auth::{secret, username};
use crate::authenticators::{Authenticator, Identity};
use crate::db::users::User;
use crate::error::AppError;
use crate::identities;
use crate::middleware::FormAction;
use crate::peer::Client;
use crate::sessions::{self, Refused};
use crate::templates::{self, LoginElsewherePage, LoginPage, LogoutPage, Page};

/// GET /hub/login
pub async fn form(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let next = next_path(&app, query.as_deref(), &headers);
    if Login::find(&app, &headers).await?.is_some() {
        return Ok(see_other(&next.unwrap_or_else(|| app.urls.home())));
    }
    match &app.authenticator {
        Authenticator::Form(_) => {}
        Authenticator::Elsewhere(oauth) => return Ok(elsewhere(&app, oauth.service(), next)),
        Authenticator::Header(proxy) => {
            let identity = proxy.identity(client.peer, &headers);
            return by_header(&app, &client, &headers, identity, next.as_deref()).await;
        }
    }
    let form = Form {
        next: next.unwrap_or_default(),
        ..Form::default()
    };
    form.show(&app, StatusCode::OK, &client, &headers).await
}

/// The way to the service that logs people in: a link, or the browser goes at once (`auto_login`).
fn elsewhere(app: &App, service: &str, next: Option<String>) -> Response {
    let way = with_next(&format!("{}oauth_login", app.urls.hub), next.as_deref());
    if app.config.authenticator.auto_login {
        return see_other(&way);
    }
    let page = LoginElsewherePage {
        page: Page {
            hub: app.urls.hub.clone(),
            ..Page::default()
        },
        way,
        service: service.to_owned(),
    };
    templates::respond(StatusCode::OK, &page)
}

async fn by_header(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    identity: Option<Identity>,
    next: Option<&str>,
) -> Result<Response, AppError> {
    let Some(identity) = identity else {
        warn!(client.address = %client.address, client.peer = %client.peer, "Failed login: no header of a proxy says who it is");
        return Err(AppError::new(
            StatusCode::UNAUTHORIZED,
            "The proxy before this Hub does not say who you are.",
        )
        .advise("Open the Hub under the address of the proxy, and log in there."));
    };
    match identities::admit(app, client, identity).await? {
        Some(user) => enter(app, client, headers, &user, next).await,
        None => Err(AppError::forbidden("You may not log in here.")),
    }
}

/// POST /hub/login
pub async fn log_in(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    client: Client,
    headers: HeaderMap,
    PostedAnonymously(posted): PostedAnonymously,
) -> Result<Response, AppError> {
    let Authenticator::Form(authenticator) = &app.authenticator else {
        return Err(AppError::forbidden("Nobody logs in here by a password."));
    };
    let next = next_path(&app, query.as_deref(), &headers);
    let again = async |refused: Refused, name: &str| {
        let username = if name.len() <= username::MAX_LENGTH {
            name.to_owned()
        } else {
            String::new()
        };
        let form = Form {
            next: next.clone().unwrap_or_default(),
            username,
            error: Some(refused.message),
        };
        form.show(&app, refused.status, &client, &headers).await
    };
    let fields = match posted {
        Ok(fields) => fields,
        // A tab that was left open: meanwhile another one logged in.
        Err(_) if Login::find(&app, &headers).await?.is_some() => {
            return Ok(see_other(&next.unwrap_or_else(|| app.urls.home())));
        }
        Err(stale) => {
            let refused = Refused::new(StatusCode::FORBIDDEN, STALE);
            return again(refused, stale.get("username")).await;
        }
    };
    let given = (fields.get("username").trim(), fields.get("password"));
    match sessions::by_password(&app, &client, authenticator.as_ref(), given).await? {
        Ok(user) => enter(&app, &client, &headers, &user, next.as_deref()).await,
        Err(refused) => again(refused, fields.get("username")).await,
    }
}

/// GET /hub/logout
pub async fn log_out(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let begun = Instant::now();
    let page = Page {
        hub: app.urls.hub.clone(),
        ..Page::default()
    };
    let mut response = templates::respond(StatusCode::OK, &LogoutPage { page });
    sessions::end(&app, &client, &headers, &mut response).await?;
    app.metrics.logged_out(begun.elapsed());
    Ok(response)
}

/// To the page that was asked for, with a new session.
pub(super) async fn enter(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    user: &User,
    next: Option<&str>,
) -> Result<Response, AppError> {
    audit::by_user(&user.name);
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
    async fn show(
        self,
        app: &App,
        status: StatusCode,
        client: &Client,
        headers: &HeaderMap,
    ) -> Result<Response, AppError> {
        let first_account = accounts::first_account(&app.config, &app.db).await?;
        let uri = redirect_uri(app, &self.next).await?;
        let mut response = anonymous(app, client, headers, |page| {
            let page = LoginPage {
                page,
                next: self.next,
                username: self.username,
                error: self.error,
                first_account,
                signup: accounts::has_signup(&app.config),
            };
            templates::respond(status, &page)
        });
        if let Some(uri) = uri {
            FormAction::leads_to(&mut response, &uri);
        }
        Ok(response)
    }
}

/// Where the login leads in the end, if it is one for an OAuth client.
async fn redirect_uri(app: &App, next: &str) -> Result<Option<String>, AppError> {
    let authorize = format!("{}api/oauth2/authorize?", app.urls.hub);
    let client_id = next
        .strip_prefix(&authorize)
        .and_then(|query| argument(Some(query), "client_id"));
    let Some(client_id) = client_id else {
        return Ok(None);
    };
    let client = app.db.oauth_client(&client_id).await?;
    Ok(client.map(|client| client.redirect_uri))
}

/// A form for somebody who is not logged in, with a token that belongs to this browser's form cookie, which is set where
/// there is none.
pub(super) fn anonymous(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
    show: impl FnOnce(Page) -> Response,
) -> Response {
    let cookie = cookies::all(headers, app.cookie(&cookies::FORM_ID))
        .next()
        .map(str::to_owned);
    let new = cookie.is_none();
    let cookie = cookie.unwrap_or_else(secret::generate);
    let xsrf = app.xsrf.token(&cookie);
    let mut response = show(Page {
        hub: app.urls.hub.clone(),
        xsrf: xsrf.clone(),
        ..Page::default()
    });
    let hub = app.urls.hub.as_str();
    let set = [
        (
            app.cookie(&cookies::FORM_ID),
            cookie.as_str(),
            hub,
            Life::Browser,
        ),
        (cookies::XSRF, &xsrf, hub, Life::Browser),
    ];
    let set = if new { &set[..] } else { &set[1..] };
    cookies::append(&mut response, client.https, None, set);
    response
}
