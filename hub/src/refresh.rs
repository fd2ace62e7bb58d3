//! Asking the service that logged somebody in again who they are (jupyterhub/handlers/base.py, `refresh_auth`; oauthenticator,
//! `refresh_user`). Without `enable_auth_state`, and where no service logs people in, everybody is whom they were.

use tracing::{info, warn};

use crate::app::App;
use crate::auth_state;
use crate::authenticators::oauth::OAuth;
use crate::authenticators::{Authenticator, Refusal};
use crate::chain::chain;
use crate::db;
use crate::db::audit::carry;
use crate::db::auth_state::REFUSED;
use crate::db::users::User;
use crate::error::AppError;
use crate::identities;

/// What is known of somebody after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// As it was.
    Known,
    /// Told anew: groups and rights may be others than a moment ago.
    Told,
    /// They must log in again.
    Stale,
}

/// Asks where `auth_refresh_age` has passed.
pub async fn if_due(app: &App, user: &User) -> Result<Fresh, AppError> {
    let age = app.config.authenticator.auth_refresh_age;
    if age.is_zero() || asked(app).is_none() {
        return Ok(Fresh::Known);
    }
    if user.auth_refreshed == Some(REFUSED) {
        return Ok(Fresh::Stale);
    }
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    let due = |last: i64| db::now().saturating_sub(last) >= age;
    match user.auth_refreshed.is_none_or(due) {
        true => now(app, user).await,
        false => Ok(Fresh::Known),
    }
}

/// `Authenticator.refresh_pre_spawn`; `own_browser` where the user asks for it who can log in again.
pub async fn before_start(app: &App, user: &str, own_browser: bool) -> Result<(), AppError> {
    let config = &app.config.authenticator;
    if !config.refresh_pre_spawn || asked(app).is_none() {
        return Ok(());
    }
    // A start of nobody's server is refused where it begins.
    let Some(user) = app.db.user(user).await? else {
        return Ok(());
    };
    let stale = now(app, &user).await? == Fresh::Stale;
    if stale && (own_browser || config.auth_refresh_strict) {
        let message = format!("auth has expired for {}, login again", user.name);
        return Err(AppError::forbidden(message));
    }
    Ok(())
}

/// Who can be asked.
fn asked(app: &App) -> Option<&OAuth> {
    match &app.authenticator {
        Authenticator::Elsewhere(oauth) if app.config.authenticator.enable_auth_state => {
            Some(oauth)
        }
        _ => None,
    }
}

/// Goes on to its end also where the client has left: whom the service refuses is written down, and so are tokens that it
/// gives but once.
async fn now(app: &App, user: &User) -> Result<Fresh, AppError> {
    if user.auth_refreshed == Some(REFUSED) {
        return Ok(Fresh::Stale);
    }
    let (app, user) = (app.clone(), user.clone());
    let asking = tokio::spawn(carry(async move { ask(&app, &user).await }));
    let asked = asking.await;
    asked.map_err(|error| AppError::internal("ask again who somebody is", &error))?
}

async fn ask(app: &App, user: &User) -> Result<Fresh, AppError> {
    let Some(oauth) = asked(app) else {
        return Ok(Fresh::Known);
    };
    let at = db::now();
    // A token that asks for others is good once: of requests that come together, to whichever Hub, one asks.
    if !app
        .db
        .set_auth_refreshed(user.id, user.auth_refreshed, at)
        .await?
    {
        return Ok(Fresh::Known);
    }
    let told = match auth_state::load(app, user).await? {
        Some(state) => oauth.refresh(&state).await,
        None => Ok(None),
    };
    let identity = match told {
        Ok(identity) => identity,
        // Nothing is known against them; the next time will tell.
        Err(Refusal::Failed(attempted, cause)) => {
            warn!(user.name = %user.name, error = %chain(cause.as_ref()), "Could not {attempted}: {} stays logged in", user.name);
            return Ok(Fresh::Known);
        }
        Err(Refusal::Wrong | Refusal::Forbidden(_)) => None,
    };
    if let Some(identity) = identity
        && identities::renew(app, user, identity, at).await?
    {
        return Ok(Fresh::Told);
    }
    info!(user.name = %user.name, "User {} has stale auth info. Login is required to refresh.", user.name);
    app.db
        .set_auth_refreshed(user.id, Some(at), REFUSED)
        .await?;
    Ok(Fresh::Stale)
}
