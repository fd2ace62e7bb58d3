//! Whom an authenticator has told of: the user of this Hub that they are, and what is written down of them.

use tracing::{info, warn};

use crate::accounts;
use crate::app::App;
use crate::audit;
use crate::auth::username;
use crate::auth_state::{self, Told};
use crate::authenticators::Identity;
use crate::db;
use crate::db::users::User;
use crate::error::AppError;
use crate::names::{GroupName, UserName};
use crate::peer::Client;

/// The user that somebody is who has shown who they are, made where there was none; none where they may not come in, with
/// the reason in the log (jupyterhub/auth.py, `get_authenticated_user`; handlers/base.py, `auth_to_user`).
pub async fn admit(
    app: &App,
    client: &Client,
    identity: Identity,
) -> Result<Option<User>, AppError> {
    match let_in(app, &identity).await? {
        Ok(user) => Ok(Some(
            settle(app, user, identity, Told::Login(db::now())).await?,
        )),
        Err((name, reason)) => {
            let name = username::for_log(&name);
            warn!(user.name = %name, client.address = %client.address, "User {name} may not log in: {reason}");
            Ok(None)
        }
    }
}

/// Takes over what was told anew at `at` of a user who is logged in; false where they would not come in by it, or it is of
/// another.
pub async fn renew(app: &App, user: &User, identity: Identity, at: i64) -> Result<bool, AppError> {
    // Nobody is made by it, and nobody else is who asks.
    if !name_of(app, &identity).is_ok_and(|name| *name == *user.name) {
        return Ok(false);
    }
    match let_in(app, &identity).await? {
        Ok(same) if same.id == user.id => {
            settle(app, same, identity, Told::Asked(at)).await?;
            Ok(true)
        }
        Ok(_) | Err(_) => Ok(false),
    }
}

/// The name of a user here.
fn name_of(app: &App, identity: &Identity) -> Result<UserName, username::Invalid> {
    let name = UserName::normalize(&identity.name)?;
    UserName::normalize(app.config.authenticator.username_map.of(&name))
}

/// The user of this name, made where there was none; or why they may not come in, with the name.
async fn let_in(
    app: &App,
    identity: &Identity,
) -> Result<Result<User, (String, String)>, AppError> {
    let config = &app.config.authenticator;
    let name = match name_of(app, identity) {
        Ok(name) => name,
        Err(invalid) => return Ok(Err((identity.name.clone(), invalid.to_string()))),
    };
    let refused = |reason: &str| Ok(Err((name.to_string(), reason.to_owned())));
    let known = app.db.user(&name).await?;
    if !accounts::may_log_in(&app.config, &name, known.as_ref(), identity.allowed) {
        return refused("the configuration does not let them");
    }
    if known.is_none() {
        audit::by_user(&name);
        let admin = config.admin_users.contains(&*name);
        app.db.add_user(&name, admin, None, false).await?;
    }
    match app.db.user(&name).await? {
        Some(user) => Ok(Ok(user)),
        None => refused("they were deleted just now"),
    }
}

/// Writes down what was told of a user.
async fn settle(
    app: &App,
    mut user: User,
    identity: Identity,
    told: Told,
) -> Result<User, AppError> {
    let config = &app.config.authenticator;
    // Those of the configuration are administrators whatever a provider says.
    let admin = identity
        .admin
        .filter(|_| !config.admin_users.contains(&user.name));
    if let Some(admin) = admin.filter(|admin| *admin != user.admin) {
        app.db.make_admin(user.id, admin).await?;
        user.admin = admin;
        info!(user.name = %user.name, admin, "The authenticator has changed who is an administrator");
    }
    if let Some(groups) = identity.groups.filter(|_| config.manage_groups) {
        let groups = groups.into_iter().filter_map(GroupName::parse);
        let groups: Vec<_> = groups.map(|group| group.to_string()).collect();
        app.db.set_groups_of(user.id, &groups).await?;
    }
    auth_state::told(app, &user, identity.auth_state.as_ref(), told).await?;
    Ok(user)
}
