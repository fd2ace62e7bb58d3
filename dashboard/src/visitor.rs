//! Who asks: by the cookie of a session, or by a token of the Hub. The Hub is asked again after a while, so that a logout there
//! counts here.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use carrel_service::{HubError, User};
use http::request::Parts;
use http::{HeaderMap, header};

use crate::access::Identity;
use crate::app::{self, App};
use crate::error::AppError;
use crate::secret::{self, Secret};
use crate::sessions::Session;

pub const COOKIE: &str = "carrel-dashboard";
/// How long the Hub's word holds.
const FRESH: Duration = Duration::from_secs(10);
/// How long it holds while the Hub is away.
const STALE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone)]
pub struct Visitor {
    pub user: Arc<User>,
    pub identity: Identity,
    /// Of the Hub; also for the jobs service.
    pub token: Secret,
    /// What a form must bring; none for a program with a token, which no other page can make use of.
    pub xsrf: Option<String>,
}

impl Visitor {
    fn new(
        app: &app::Parts,
        user: Arc<User>,
        token: Secret,
        xsrf: Option<String>,
    ) -> Result<Self, AppError> {
        let settings = &app.settings;
        let name = format!("{}{}", settings.user_prefix, user.name);
        let groups = user.groups.iter();
        let groups = groups.map(|group| format!("{}{group}", settings.group_prefix));
        let identity = Identity::new(name, groups).ok_or_else(|| {
            AppError::forbidden("Your name is one of Kubernetes' own, so it stands for nobody here.")
                .advise("Ask your administrator for a prefix before the names of users (dashboard.userPrefix).")
        })?;
        Ok(Self {
            user,
            identity,
            token,
            xsrf,
        })
    }

    /// Whether a request that changes something was made by a page of this program, or by a program with a token.
    pub fn is_own(&self, brought: &str) -> bool {
        let wanted = self.xsrf.as_deref();
        wanted.is_none_or(|wanted| secret::equal(wanted, brought))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor
where
    App: FromRef<S>,
{
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        let app = App::from_ref(state);
        if let Some(token) = bearer(&parts.headers) {
            return with_token(&app, token).await;
        }
        let cookie = cookie(&parts.headers, COOKIE).ok_or(AppError::LogIn)?;
        let session = app.sessions.find(&cookie).ok_or(AppError::LogIn)?;
        let user = current(&app, &cookie, &session).await?;
        Self::new(&app, user, session.token, Some(session.xsrf))
    }
}

/// The user of a session, as the Hub last told.
async fn current(app: &app::Parts, cookie: &str, session: &Session) -> Result<Arc<User>, AppError> {
    if session.asked.elapsed() < FRESH {
        return Ok(session.user.clone());
    }
    match app.hub.user(&session.token).await {
        Ok(user) => {
            let user = Arc::new(user);
            app.sessions.renew(cookie, user.clone());
            Ok(user)
        }
        Err(HubError::Away(_)) if session.asked.elapsed() < STALE => Ok(session.user.clone()),
        Err(error) => {
            if !matches!(error, HubError::Away(_)) {
                app.sessions.end(cookie);
            }
            Err(error.into())
        }
    }
}

async fn with_token(app: &app::Parts, token: Secret) -> Result<Visitor, AppError> {
    let key = secret::hash(&token.0);
    if let Some(user) = app.tokens.get(&key) {
        return Visitor::new(app, user, token, None);
    }
    let user = Arc::new(app.hub.user(&token).await?);
    app.tokens.put(key, user.clone());
    Visitor::new(app, user, token, None)
}

/// `Authorization: token ...`, or `Bearer`.
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    let known = ["token", "bearer"];
    let known = known.iter().any(|one| scheme.eq_ignore_ascii_case(one));
    (known && !token.trim().is_empty()).then(|| Secret(token.trim().to_owned()))
}

/// The value of a cookie.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut found = pairs.filter_map(|pair| pair.trim().split_once('='));
    let found = found.find(|(key, value)| *key == name && !value.is_empty());
    found.map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn cookies_and_tokens_are_read() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_static("a=1; carrel-dashboard=x=y; b=");
        headers.insert(header::COOKIE, value);
        assert_eq!(cookie(&headers, COOKIE).as_deref(), Some("x=y"));
        assert_eq!(cookie(&headers, "b"), None);
        assert_eq!(cookie(&headers, "dashboard"), None);
        let of = |text: &'static str| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(text))]);
            bearer(&headers).map(|token| token.0)
        };
        assert_eq!(of("token abc").as_deref(), Some("abc"));
        assert_eq!(of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(
            (of("Basic abc"), of("token "), of("token")),
            (None, None, None)
        );
    }
}
