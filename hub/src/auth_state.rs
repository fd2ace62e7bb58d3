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
        let sealed = app.keeper.seal(user.id, &opened.value);
        app.db.set_auth_state(user.id, sealed.as_deref()).await?;
    }
    Ok(Some(opened.value))
}

/// Keeps what an administrator gives in its place.
pub async fn save(app: &App, user: &User, state: &Value) -> Result<(), AppError> {
    let sealed = app.keeper.seal(user.id, state).ok_or_else(|| {
        AppError::bad_request(
            "auth_state is not kept: encryption is not available without a key in JUPYTERHUB_CRYPT_KEY",
        )
    })?;
    Ok(app.db.set_auth_state(user.id, Some(&sealed)).await?)
}

/// Keeps what the service has told just now at `at`, or forgets all where nothing is to be kept.
pub async fn told(app: &App, user: &User, state: Option<&Value>, at: i64) -> Result<(), AppError> {
    if !app.config.authenticator.enable_auth_state {
        return Ok(app.db.forget_auth_state(user.id).await?);
    }
    let sealed = state.and_then(|state| app.keeper.seal(user.id, state));
    Ok(app
        .db
        .refresh_auth_state(user.id, sealed.as_deref(), at)
        .await?)
}
