//! Who makes a request: a browser with a login session, or a program with a token.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use axum::extract::{FromRequestParts, OptionalFromRequestParts, OriginalUri};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode, header};
use tracing::{error, warn};

use super::{cookies, secret, xsrf};
use crate::access::permit::{self, Action, Denied, Permit};
use crate::access::principal::{self, Principal};
use crate::access::scopes::{Reach, Scopes, Target};
use crate::access::sharing::NotShareable;
use crate::app::App;
use crate::audit;
use crate::db;
use crate::db::memo::Keep;
use crate::db::sessions::Session;
use crate::db::tokens::ApiToken;
use crate::db::users::User;
use crate::error::AppError;
use crate::headers::text;
use crate::refresh::{self, Fresh};
use crate::templates::Page;

/// A browser that is logged in. As an extractor it sends others to the login page and back.
#[derive(Debug, Clone)]
pub struct Login {
    pub session: Session,
    pub scopes: Scopes,
    /// Token for forms of this session.
    pub xsrf: String,
}

impl Keep for Login {}

impl Login {
    pub fn user(&self) -> &User {
        &self.session.user
    }

    pub fn page(&self, app: &App) -> Page {
        Page {
            hub: app.urls.hub.clone(),
            user: Some(self.user().name.clone()),
            xsrf: self.xsrf.clone(),
            admin: self.scopes.holds("admin-ui", Target::Hub),
        }
    }

    pub fn principal(&self) -> Principal {
        Principal::User(self.user().clone())
    }

    pub fn permit<A: Action>(&self, action: A) -> Result<Permit<A>, AppError> {
        Ok(permit::permit(&self.scopes, action)?)
    }

    /// Whether the request needed a token to show that it comes from a page of the Hub, which it had.
    fn check_xsrf(&self, parts: &Parts) -> Result<bool, AppError> {
        if !xsrf::needed(&parts.method, &parts.headers) {
            return Ok(false);
        }
        let given = xsrf::given(&parts.headers, parts.uri.query().unwrap_or_default());
        match given.is_some_and(|given| self.has_xsrf(&given)) {
            true => Ok(true),
            false => Err(AppError::forbidden(
                "'_xsrf' argument missing or of another session",
            )),
        }
    }

    /// Whether this is the token of the session's forms.
    pub fn has_xsrf(&self, given: &str) -> bool {
        secret::equal(given, &self.xsrf)
    }

    /// The session of the first login cookie that has one, where its user need not log in again.
    pub async fn find(app: &App, headers: &http::HeaderMap) -> Result<Option<Self>, AppError> {
        let Some(login) = Self::known(app, headers).await? else {
            return Ok(None);
        };
        match refresh::if_due(app, login.user()).await? {
            Fresh::Known => Ok(Some(login)),
            Fresh::Told => Self::known(app, headers).await,
            Fresh::Stale => Ok(None),
        }
    }

    /// The same of whoever has logged in.
    pub async fn known(app: &App, headers: &http::HeaderMap) -> Result<Option<Self>, AppError> {
        for cookie in cookies::all(headers, app.cookie(&cookies::LOGIN)) {
            let hash = secret::hash(cookie);
            let login = Self::of(app, cookie, &hash);
            let login = app.db.memo_if_found(format!("login {hash}"), login).await?;
            if let Some(login) = login.filter(|login| login.session.expires > db::now()) {
                record_visit(app, login.user()).await;
                return Ok(Some(Self::clone(&login)));
            }
        }
        Ok(None)
    }

    async fn of(app: &App, cookie: &str, hash: &str) -> Result<Option<Self>, AppError> {
        let session = app.db.session(hash).await?;
        let Some(session) = session.filter(|session| !is_blocked(app, &session.user)) else {
            return Ok(None);
        };
        let principal = Principal::User(session.user.clone());
        Ok(Some(Self {
            scopes: principal::scopes(&app.db, &principal).await?,
            session,
            xsrf: app.xsrf.token(cookie),
        }))
    }
}

impl OptionalFromRequestParts<App> for Login {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, AppError> {
        let Some(login) = Self::find(app, &parts.headers).await? else {
            return Ok(None);
        };
        audit::by_user(&login.user().name);
        // Forms carry their token in the body: a handler of theirs takes `Posted`.
        login.check_xsrf(parts)?;
        Ok(Some(login))
    }
}

impl FromRequestParts<App> for Login {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, AppError> {
        let found = <Self as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
        found.ok_or_else(|| to_login(app, parts))
    }
}

/// To the login page, and back to what was asked for if that was a page; a form is not sent again.
pub(super) fn to_login(app: &App, parts: &Parts) -> AppError {
    let login = format!("{}login", app.urls.hub);
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return AppError::see_other(login);
    }
    let original = parts.extensions.get::<OriginalUri>();
    let uri = original.map_or(&parts.uri, |original| &original.0);
    let asked = uri.path_and_query().map_or("", |path| path.as_str());
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let query = query.append_pair("next", asked).finish();
    AppError::see_other(format!("{login}?{query}"))
}

/// Whoever calls the API; of a token, shared by all requests with it for as long as the database is what it was.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Standing>);

#[derive(Debug)]
pub struct Standing {
    pub principal: Principal,
    pub scopes: Scopes,
    /// None for a browser's cookie.
    pub token: Option<ApiToken>,
    /// Scopes of the token that are not known here.
    passed_over: Vec<String>,
    /// What it was told of itself.
    pub whoami: OnceLock<Bytes>,
}

impl Keep for Standing {}

impl Caller {
    /// Where it is in memory: of a token, the same until somebody writes to the database.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl Deref for Caller {
    type Target = Standing;
    fn deref(&self) -> &Standing {
        &self.0
    }
}

impl Caller {
    pub fn permit<A: Action>(&self, action: A) -> Result<Permit<A>, AppError> {
        Ok(permit::permit(&self.scopes, action)?)
    }

    /// [`Caller::permit`] with another word for who may not.
    pub fn permit_or<A: Action>(
        &self,
        action: A,
        refused: impl FnOnce(Denied) -> AppError,
    ) -> Result<Permit<A>, AppError> {
        permit::permit(&self.scopes, action).map_err(refused)
    }

    /// Whom a list shows.
    pub fn reach(&self, scope: &str) -> Result<Reach, Denied> {
        permit::reach(&self.scopes, scope)
    }

    /// Whether one of these scopes is held, each of which shows a part of the object.
    pub fn require(&self, scopes: &[&str], target: Target<'_>) -> Result<(), Denied> {
        permit::require(&self.scopes, scopes, target)
    }
}

impl Caller {
    /// Whoever shows a token or a cookie that is good; of a cookie's request, that it comes from a page of the Hub.
    async fn find(parts: &Parts, app: &App) -> Result<Option<Self>, AppError> {
        if let Some(token) = bearer(parts) {
            let caller = by_token(app, &token).await?;
            if let Some(caller) = &caller {
                let token = caller.token.as_ref().map(|token| token.id);
                audit::by(&caller.principal, token);
            }
            return Ok(caller);
        }
        let Some(login) = Login::find(app, &parts.headers).await? else {
            return Ok(None);
        };
        audit::by_user(&login.user().name);
        if login.check_xsrf(parts)? {
            refuse_form_types(parts)?;
        }
        Ok(Some(Self::of_user(login.session.user, login.scopes)))
    }

    /// Somebody without a token.
    fn of_user(user: User, scopes: Scopes) -> Self {
        Self(Arc::new(Standing {
            principal: Principal::User(user),
            scopes,
            token: None,
            passed_over: Vec::new(),
            whoami: OnceLock::new(),
        }))
    }

    /// Somebody who has just said who they are by a password.
    pub async fn known_otherwise(app: &App, user: User) -> Result<Self, AppError> {
        audit::by_user(&user.name);
        let scopes = principal::scopes(&app.db, &Principal::User(user.clone())).await?;
        Ok(Self::of_user(user, scopes))
    }
}

/// Of who shows neither a token nor a cookie that is good.
pub fn unknown() -> AppError {
    AppError::forbidden("Missing or invalid credentials.")
}

impl FromRequestParts<App> for Caller {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, AppError> {
        Self::find(parts, app).await?.ok_or_else(unknown)
    }
}

/// Whoever calls the API; none where the body of the request has still to say who it is.
#[derive(Debug)]
pub struct PerhapsCaller(pub Option<Caller>);

impl FromRequestParts<App> for PerhapsCaller {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, AppError> {
        Caller::find(parts, app).await.map(Self)
    }
}

/// `token` and `bearer` alike: `/^(?:token|bearer)\s+([^\s]+)$/i` of JupyterHub.
fn bearer(parts: &Parts) -> Option<String> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(char::is_whitespace)?;
    let known = scheme.eq_ignore_ascii_case("token") || scheme.eq_ignore_ascii_case("bearer");
    known.then(|| token.trim().to_owned())
}

/// Whose token this is; none where it is nobody's, or not good any more.
pub async fn by_token(app: &App, token: &str) -> Result<Option<Caller>, AppError> {
    if token.is_empty() || token.len() > secret::MAX_TOKEN_LENGTH {
        return Ok(None);
    }
    let hash = secret::hash(token);
    let find = async || {
        let standing = standing(app, token, &hash);
        let standing = app.db.memo_if_found(format!("token {hash}"), standing);
        Ok::<_, AppError>(standing.await?.map(Caller))
    };
    let Some(mut caller) = find().await? else {
        return Ok(None);
    };
    if let Some(user) = caller.principal.user() {
        match refresh::if_due(app, user).await? {
            Fresh::Known => {}
            Fresh::Told => match find().await? {
                Some(told) => caller = told,
                None => return Ok(None),
            },
            // Whoever shows a token cannot log in by it.
            Fresh::Stale if app.config.authenticator.auth_refresh_strict => return Ok(None),
            Fresh::Stale => {}
        }
    }
    let Some(token) = caller.token.as_ref().filter(|token| !token.has_ended()) else {
        return Ok(None);
    };
    if record_use(app, &caller.principal, token).await? && !caller.passed_over.is_empty() {
        warn!(
            owner = %caller.principal.name(),
            token.id,
            scopes = caller.passed_over.join(" "),
            "A token has scopes that this version does not know and passes over"
        );
    }
    Ok(Some(caller))
}

/// Whose token it is, and what it may do.
async fn standing(app: &App, token: &str, hash: &str) -> Result<Option<Standing>, AppError> {
    let token = match app.db.token(hash).await? {
        Some(known) => Some(known),
        None => imported(app, token, hash).await?,
    };
    let Some(token) = token else {
        return Ok(None);
    };
    let Some(principal) = owner(app, &token).await? else {
        return Ok(None);
    };
    let (scopes, passed_over) =
        principal::scopes_of_token(&app.db, &principal, &token.scopes).await?;
    let passed_over = passed_over.into_iter().map(str::to_owned).collect();
    Ok(Some(Standing {
        principal,
        scopes,
        token: Some(token),
        passed_over,
        whoami: OnceLock::new(),
    }))
}

/// A token of the JupyterHub that was imported, at its first use.
async fn imported(app: &App, token: &str, hash: &str) -> Result<Option<ApiToken>, AppError> {
    let Some(prefix) = secret::prefix(token) else {
        return Ok(None);
    };
    for (id, stored) in app.db.imported_tokens(prefix).await? {
        if secret::is(token, &stored) {
            app.db.settle_token(id, hash).await?;
            return Ok(app.db.token(hash).await?);
        }
    }
    Ok(None)
}

/// Whose token it is; nobody's where its user is shut out.
async fn owner(app: &App, token: &ApiToken) -> Result<Option<Principal>, AppError> {
    if let Some(id) = token.service_id {
        return Ok(app.db.service_by_id(id).await?.map(Principal::Service));
    }
    let Some(id) = token.user_id else {
        return Ok(None);
    };
    let user = app.db.user_by_id(id).await?;
    let user = user.filter(|user| !is_blocked(app, user));
    Ok(user.map(Principal::User))
}

/// `Authenticator.blocked_users` shuts out those too who have a login or a token from before.
fn is_blocked(app: &App, user: &User) -> bool {
    app.config.authenticator.blocked_users.contains(&user.name)
}

/// How often it is written down that somebody is here: no more often than JupyterHub does (`activity_resolution`).
const RESOLUTION_MS: i64 = 30_000;

fn is_due(last: Option<i64>, now: i64) -> bool {
    last.is_none_or(|last| now - last > RESOLUTION_MS)
}

/// Whatever is asked with a login is its user's activity (`get_current_user` of JupyterHub). It is answered also where
/// that cannot be written down.
async fn record_visit(app: &App, user: &User) {
    let now = db::now();
    if !is_due(user.last_activity, now) {
        return;
    }
    if let Err(error) = app.db.user_visited(user.id, now, RESOLUTION_MS).await {
        error!(user.name = %user.name, %error, "Could not write down the visit of a user");
    }
}

/// Writes down the use of a token. True if this one was due.
async fn record_use(app: &App, owner: &Principal, token: &ApiToken) -> Result<bool, AppError> {
    let now = db::now();
    if !is_due(token.last_activity, now) {
        return Ok(false);
    }
    app.db.token_was_used(token.id, now).await?;
    // What a server's own process does is not its user's activity.
    if let (None, Some(user)) = (token.server_id, owner.user()) {
        record_visit(app, user).await;
    }
    Ok(true)
}

/// A page of another site can send forms with a cookie, but not JSON.
fn refuse_form_types(parts: &Parts) -> Result<(), AppError> {
    let kind = text(&parts.headers, header::CONTENT_TYPE).unwrap_or_default();
    if parts.method == Method::POST && !kind.is_empty() && !kind.starts_with("application/json") {
        return Err(AppError::new(
            StatusCode::FORBIDDEN,
            "Content-Type must be application/json",
        ));
    }
    Ok(())
}

impl From<Denied> for AppError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Elsewhere => Self::not_found(denied.to_string()),
            Denied::Missing(_) => Self::forbidden(denied.to_string()),
        }
    }
}

impl From<NotShareable> for AppError {
    fn from(wrong: NotShareable) -> Self {
        Self::bad_request(wrong.to_string())
    }
}
