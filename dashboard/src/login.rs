//! Logging in by the Hub's OAuth: the way there, the way back, and the logout.

use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use carrel_service::HubError;
use http::{HeaderMap, HeaderValue, header};

use crate::app::App;
use crate::config::Settings;
use crate::error::AppError;
use crate::secret;
use crate::submitted::Submitted;
use crate::templates::{self, LoggedOutPage, Page};
use crate::visitor::{COOKIE, cookie};

/// How long a login may take.
const LONGEST: Duration = Duration::from_secs(600);
/// The longest address that one comes back to.
const LONGEST_NEXT: usize = 1024;
/// Letters of the state that name the cookie of one login: several windows may log in at once.
const NAME: usize = 8;

/// Where to log in and come back to `next`.
pub fn address(settings: &Settings, next: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", next)
        .finish();
    format!("{}login?{query}", settings.base)
}

/// GET login?next=
pub async fn begin(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let settings = &app.settings;
    let next = argument(query.as_deref(), "next");
    let next = next.filter(|next| is_own(settings, next));
    let (state, verifier) = (secret::generate(), secret::generate());
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("client_id", &settings.client_id)
        .append_pair("redirect_uri", &settings.callback)
        .append_pair("response_type", "code")
        .append_pair("state", &state)
        .append_pair("code_challenge", &secret::challenge(&verifier))
        .append_pair("code_challenge_method", "S256")
        .finish();
    let path = format!("{}api/oauth2/authorize?{query}", settings.hub_pages);
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let there = settings.hub_host.address(host, is_secure(&headers), &path);
    let name = cookie_name(&state);
    let next: String =
        url::form_urlencoded::byte_serialize(next.unwrap_or_default().as_bytes()).collect();
    let value = format!("{state}.{verifier}.{next}");
    let mut response = Redirect::to(&there).into_response();
    set_cookie(settings, &headers, &name, &value, LONGEST, &mut response);
    response
}

/// GET oauth_callback?code=&state=
pub async fn finish(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let query = query.as_deref();
    let state = argument(query, "state").unwrap_or_default();
    let name = cookie_name(&state);
    let begun = cookie(&headers, &name);
    let parts = begun.as_deref().and_then(|begun| {
        let mut parts = begun.splitn(3, '.');
        Some((parts.next()?, parts.next()?, parts.next()?))
    });
    let (_, verifier, next) = parts
        .filter(|(wanted, ..)| secret::equal(wanted, &state))
        .ok_or_else(|| {
            AppError::bad_request("This login was begun in another window, or too long ago.")
                .advise("Log in once more.")
        })?;
    if let Some(error) = argument(query, "error") {
        let error: String = error
            .chars()
            .filter(char::is_ascii_graphic)
            .take(100)
            .collect();
        return Err(
            AppError::forbidden(format!("The Hub did not log you in: {error}."))
                .advise("Log in once more."),
        );
    }
    let code = argument(query, "code");
    let code = code.ok_or_else(|| AppError::bad_request("The Hub sent no code."))?;
    let token = match app.hub.token(&code, verifier).await {
        // A code is good once, and for minutes.
        Err(HubError::Refused) => {
            return Err(
                AppError::forbidden("The Hub does not know this login any more.")
                    .advise("Log in once more."),
            );
        }
        token => token?,
    };
    let user = app.hub.user(&token).await?;
    let next = argument(Some(&format!("next={next}")), "next");
    let next = next.filter(|next| is_own(&app.settings, next));
    let next = next.unwrap_or_else(|| app.settings.base.clone());
    tracing::info!(user.name = %user.name, "{} has logged in", user.name);
    let session = app.sessions.begin(user, token);
    let mut response = Redirect::to(&next).into_response();
    let life = app.sessions.life();
    set_cookie(
        &app.settings,
        &headers,
        COOKIE,
        &session,
        life,
        &mut response,
    );
    set_cookie(
        &app.settings,
        &headers,
        &name,
        "",
        Duration::ZERO,
        &mut response,
    );
    Ok(response)
}

/// POST logout
pub async fn end(State(app): State<App>, headers: HeaderMap, _sent: Submitted) -> Response {
    if let Some(cookie) = cookie(&headers, COOKIE) {
        app.sessions.end(&cookie);
    }
    let page = LoggedOutPage {
        page: Page::new(&app.settings, None, ""),
    };
    let mut response = templates::respond(http::StatusCode::OK, &page);
    set_cookie(
        &app.settings,
        &headers,
        COOKIE,
        "",
        Duration::ZERO,
        &mut response,
    );
    response
}

fn cookie_name(state: &str) -> String {
    let known = state.chars().filter(char::is_ascii_alphanumeric).take(NAME);
    format!("{COOKIE}-login-{}", known.collect::<String>())
}

/// Whether a path leads to a page of this program, and nowhere else.
fn is_own(settings: &Settings, path: &str) -> bool {
    path.len() <= LONGEST_NEXT
        && path.starts_with(&settings.base)
        && !path.starts_with("//")
        && !path.contains(['\\', '\r', '\n', '\t'])
}

/// Whether the browser came by https, as the proxy before this program says.
fn is_secure(headers: &HeaderMap) -> bool {
    let scheme = headers.get("x-forwarded-proto");
    let scheme = scheme
        .and_then(|scheme| scheme.to_str().ok())
        .unwrap_or_default();
    // The first is what the browser used.
    scheme
        .split(',')
        .next()
        .is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}

fn set_cookie(
    settings: &Settings,
    headers: &HeaderMap,
    name: &str,
    value: &str,
    life: Duration,
    response: &mut Response,
) {
    let secure = if is_secure(headers) { "; Secure" } else { "" };
    let cookie = format!(
        "{name}={value}; Path={}; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        settings.base,
        life.as_secs()
    );
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}

/// The first value of a query's argument.
pub fn argument(query: Option<&str>, name: &str) -> Option<String> {
    let mut arguments = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let found = arguments.find(|(key, _)| key == name);
    found.map(|(_, value)| value.into_owned())
}
