//! The pages, one struct per template under JupyterHub's template names; values in, HTML out.
//!
//! Askama escapes every value (GHSA-c4gm-pwx9-9w8j was one that was not), so no field here may hold HTML.

pub mod admin;
pub mod home;

use std::fmt;

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::assets;
use carrel_spawner::form::Field;

/// What a page may load and do; pages have no inline script or style.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page as a response that no cache keeps.
pub fn respond(status: StatusCode, page: &impl Template) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    match page.render() {
        Ok(html) => (status, headers, html).into_response(),
        Err(error) => {
            tracing::error!(%error, "A page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What the frame around every page shows.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The Hub's prefix, `<base_url>hub/`.
    pub hub: String,
    /// Name of the user who is logged in.
    pub user: Option<String>,
    /// Token of this session for the forms' `_xsrf` field.
    pub xsrf: String,
    /// The user may see the admin page.
    pub admin: bool,
}

impl Page {
    /// Address of a static file, with the hash of its content.
    fn asset(&self, name: &str) -> String {
        assets::url(&self.hub, name)
    }
}

/// `login.html`: fields `username` and `password`, posted to `login?next=`.
#[derive(Debug, Template)]
#[template(path = "login.html")]
pub struct LoginPage {
    pub page: Page,
    /// Checked path to go on to; empty for none.
    pub next: String,
    /// Name to show in the form again after a failed login.
    pub username: String,
    pub error: Option<String>,
    /// The administrator of the first start, as long as the password is empty.
    pub first_account: Option<String>,
    /// Whoever comes may make an account.
    pub signup: bool,
}

/// `signup.html`: fields `username`, `signup_password`, `signup_password_confirmation`, posted to `signup`.
#[derive(Debug, Template)]
#[template(path = "signup.html")]
pub struct SignupPage {
    pub page: Page,
    pub username: String,
    pub minimum_length: usize,
    pub error: Option<String>,
}

/// `login_elsewhere.html`: the way to the service that logs people in.
#[derive(Debug, Template)]
#[template(path = "login_elsewhere.html")]
pub struct LoginElsewherePage {
    pub page: Page,
    /// Where the link leads, `<hub>oauth_login?next=`.
    pub way: String,
    pub service: String,
}

/// The server that a page is about, as its visitor would call it.
#[derive(Debug, Clone)]
pub struct Subject {
    pub owner: String,
    /// Empty for the default server.
    pub name: String,
    /// The visitor is its owner.
    pub is_own: bool,
}

impl Subject {
    fn is_default(&self) -> bool {
        self.is_own && self.name.is_empty()
    }
}

/// `your server gpu`, `the server gpu of ada`
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = if self.name.is_empty() { "" } else { " " };
        match self.is_own {
            true => write!(f, "your server{space}{}", self.name),
            false => write!(f, "the server{space}{} of {}", self.name, self.owner),
        }
    }
}

/// One field of the spawn form with the value it shows.
#[derive(Debug, Clone)]
pub struct FormField {
    /// Name of its input.
    pub input: String,
    pub field: Field,
    pub value: String,
    /// What the user wrote in place of a choice.
    pub text: String,
    pub error: Option<String>,
}

impl FormField {
    /// A choice has a description.
    fn is_described(&self) -> bool {
        let mut choices = self.field.choices.iter();
        choices.any(|choice| !choice.description.is_empty())
    }

    /// A text stands beside the choices.
    fn unlisted(&self) -> Option<(String, &str)> {
        let text = self.field.text.as_ref();
        let text = text.filter(|_| !self.field.choices.is_empty())?;
        Some((Field::unlisted(&self.input), &text.label))
    }
}

/// A profile with its fields.
#[derive(Debug, Clone)]
pub struct FormProfile {
    pub slug: String,
    pub display_name: String,
    pub description: String,
    pub chosen: bool,
    pub fields: Vec<FormField>,
}

/// `spawn.html`: "Server Options", or a plain confirmation where there are none.
#[derive(Debug, Template)]
#[template(path = "spawn.html")]
pub struct SpawnPage {
    pub page: Page,
    pub subject: Subject,
    /// Where the form posts to, `next` included in its query.
    pub spawn_url: String,
    pub profiles: Vec<FormProfile>,
    pub fields: Vec<FormField>,
    /// Why the form is shown again: it was stale, or a start failed.
    pub error: Option<String>,
}

impl SpawnPage {
    fn is_plain(&self) -> bool {
        self.profiles.is_empty() && self.fields.is_empty()
    }
}

/// Where a start stands.
#[derive(Debug, Clone)]
pub enum Start {
    Pending {
        progress: u8,
        message: String,
    },
    /// `log` holds the last lines of the server's own log.
    Failed {
        reason: String,
        log: String,
    },
}

/// `spawn_pending.html`: live progress of a start.
#[derive(Debug, Template)]
#[template(path = "spawn_pending.html")]
pub struct SpawnPendingPage {
    pub page: Page,
    pub subject: Subject,
    pub start: Start,
    /// Server-sent events, `<hub>api/users/<escaped>/server/progress`.
    pub progress_url: String,
    /// Where a ready server is: `next`, or `/user/<escaped>/`.
    pub server_url: String,
    /// Where Cancel posts to.
    pub stop_url: String,
    /// Where Retry leads, `<hub>spawn/<escaped>?next=`.
    pub spawn_url: String,
}

impl SpawnPendingPage {
    fn failed(&self) -> bool {
        matches!(self.start, Start::Failed { .. })
    }
}

/// `not_running.html`, status 424: somebody asked for a server that does not run.
#[derive(Debug, Template)]
#[template(path = "not_running.html")]
pub struct NotRunningPage {
    pub page: Page,
    /// Whose server it is.
    pub owner: String,
    /// Where Start leads, `<hub>spawn/<escaped>?next=`; none where the visitor may not start it.
    pub spawn_url: Option<String>,
    /// Why the last start failed, or how the server ended.
    pub failure: Option<String>,
}

impl NotRunningPage {
    fn is_own(&self) -> bool {
        self.page.user.as_ref() == Some(&self.owner)
    }
}

/// `stop_pending.html`: the server is stopping; the page looks again by itself.
#[derive(Debug, Template)]
#[template(path = "stop_pending.html")]
pub struct StopPendingPage {
    pub page: Page,
    pub subject: Subject,
}

/// One row of the token page.
#[derive(Debug, Clone)]
pub struct TokenRow {
    pub id: String,
    pub note: String,
    pub scopes: Vec<String>,
    pub created: String,
    pub last_used: Option<String>,
    pub expires: Option<String>,
}

/// How long a new token may last.
#[derive(Debug, Clone)]
pub struct Lifetime {
    /// Empty for as long as is allowed.
    pub seconds: String,
    pub label: String,
    pub chosen: bool,
}

/// `token.html`: fields `note`, `expires_in` (seconds; empty for as long as is allowed) and `scopes` (empty for all), posted to `token`;
/// `id` to `token/revoke`.
#[derive(Debug, Template)]
#[template(path = "token.html")]
pub struct TokenPage {
    pub page: Page,
    pub tokens: Vec<TokenRow>,
    /// What was written into the form that is shown again.
    pub note: String,
    pub scopes: String,
    pub lifetimes: Vec<Lifetime>,
    /// The token just made; shown this once.
    pub new_token: Option<String>,
    pub error: Option<String>,
}

/// `change_password.html`: fields `old_password`, `new_password`, `new_password_confirmation`, posted to `change-password`.
#[derive(Debug, Template)]
#[template(path = "change_password.html")]
pub struct ChangePasswordPage {
    pub page: Page,
    /// The present password is empty, so the form does not ask for it.
    pub empty_password: bool,
    pub minimum_length: usize,
    pub error: Option<String>,
    /// The password was changed just now.
    pub changed: bool,
}

/// `accept-share.html`: what somebody offers of a server; field `code`, posted to `accept-share?next=`.
#[derive(Debug, Template)]
#[template(path = "accept-share.html")]
pub struct AcceptSharePage {
    pub page: Page,
    pub owner: String,
    /// Empty for the owner's default server.
    pub server: String,
    /// `/user/<escaped>/[<server>/]`.
    pub server_url: String,
    pub ready: bool,
    /// The visitor may start it after accepting.
    pub may_start: bool,
    /// What is offered, in words.
    pub scopes: Vec<&'static str>,
    /// When the offer ends, as a time.
    pub expires: String,
    pub code: String,
    /// Checked path to go on to; empty for the server itself.
    pub next: String,
    /// The form is shown again because it was stale.
    pub error: Option<String>,
}

impl AcceptSharePage {
    /// Where the visitor goes on to.
    fn target(&self) -> &str {
        if self.next.is_empty() {
            &self.server_url
        } else {
            &self.next
        }
    }
}

/// `logout.html`: the login has ended.
#[derive(Debug, Template)]
#[template(path = "logout.html")]
pub struct LogoutPage {
    pub page: Page,
}

/// `error.html`: what went wrong and what to do next.
#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub page: Page,
    pub status: u16,
    /// Plain words for the status: "Not found".
    pub title: String,
    pub message: String,
    /// What the visitor can do.
    pub advice: Option<String>,
}

/// `oauth.html`: whether a client may act for the user; posts `scopes` back to the authorize URL.
#[derive(Debug, Template)]
#[template(path = "oauth.html")]
pub struct OauthPage {
    pub page: Page,
    /// What the client calls itself.
    pub client: String,
    pub redirect_uri: String,
    /// `<hub>api/oauth2/authorize` with the query of the request.
    pub authorize_url: String,
    /// Each scope with its meaning.
    pub scopes: Vec<(String, String)>,
}

#[cfg(test)]
mod tests;
