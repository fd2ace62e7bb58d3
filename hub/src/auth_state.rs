//! What the service that logged somebody in tells of them, kept for whoever may read it (`Authenticator.enable_auth_state`;
//! jupyterhub/user.py).

use serde_json::Value;
use tracing::warn;

use crate::app::App;
use crate::db::users::User;
use crate::error::AppError;

/// None where nothing is kept, or nothing that these keys decrypt.
pub async fn load(app: &App, user: &User) -> Result<Option<Value>, AppError> {
    let Some(sealed) = app.db.auth_state(user.id).await? else {
        return Ok(None);
    };
    let Some(opened) = app.keeper.unseal(user.id, &sealed) else {
        warn!(user.name = %user.name, "Could not decrypt the auth_state of {}: it is of another key", user.name);
        return Ok(None);
    };
    if opened.by_old_key {
        let new = app.keeper.seal(user.id, &opened.value);
        if let Some(new) = new {
            app.db.reseal_auth_state(user.id, &sealed, &new).await?;
        }
    }
    Ok(Some(opened.value))
}

/// What an administrator gives in its place, as it is kept.
pub fn seal(app: &App, user: &User, state: &Value) -> Result<String, AppError> {
    app.keeper.seal(user.id, state).ok_or_else(|| {
        AppError::bad_request(
            "auth_state is not kept: encryption is not available without a key in JUPYTERHUB_CRYPT_KEY",
        )
    })
}

/// When the service has told of somebody.
#[derive(Debug, Clone, Copy)]
pub enum Told {
    /// As they logged in.
    Login(i64),
    /// As it was asked, which is written down.
    Asked(i64),
}

/// Keeps what the service has told, or forgets all where nothing is to be kept.
pub async fn told(
    app: &App,
    user: &User,
    state: Option<&Value>,
    told: Told,
) -> Result<(), AppError> {
    if !app.config.authenticator.enable_auth_state {
        return Ok(app.db.forget_auth_state(user.id).await?);
    }
    let sealed = state.and_then(|state| app.keeper.seal(user.id, state));
    let sealed = sealed.as_deref();
    match told {
        Told::Login(at) => app.db.tell_auth_state(user.id, sealed, at).await?,
        Told::Asked(at) => app.db.renew_auth_state(user.id, sealed, at).await?,
    }
    Ok(())
}
