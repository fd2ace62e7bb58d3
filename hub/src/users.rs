//! Users as administrators manage them: listed, added, changed, deleted; by the API and by the admin page alike.

use std::time::Duration;

use serde_json::Value;
use tracing::info;

use crate::access::permit::{self, AddUsers, ChangeUser, DeleteUser, Permit};
use crate::access::principal::Principal;
use crate::access::scopes::{Reach, Scopes};
use crate::accounts;
use crate::app::App;
use crate::db::user_lists::{Activity, Sort, UserQuery};
use crate::db::users::{Renamed, User};
use crate::error::AppError;
use crate::names::{UserName, no_such_user};
use crate::servers::{self, Stop};

/// How long a deletion waits for a server to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// `state` of a list: by what servers do.
fn activity(state: Option<&str>) -> Result<Option<Activity>, AppError> {
    match state {
        None | Some("") => Ok(None),
        Some("active") => Ok(Some(Activity::Active)),
        Some("ready") => Ok(Some(Activity::Ready)),
        Some("inactive") => Ok(Some(Activity::Inactive)),
        Some(other) => Err(AppError::bad_request(format!(
            "Unrecognized state filter: '{}'",
            crate::auth::username::for_log(other)
        ))),
    }
}

/// `sort` of a list, `-` before it for the other way round.
fn sort(by: Option<&str>) -> Result<Sort, AppError> {
    let by = by.unwrap_or("id");
    let (column, descending) = by
        .strip_prefix('-')
        .map_or((by, false), |column| (column, true));
    Sort::by(column, descending).ok_or_else(|| {
        let by = crate::auth::username::for_log(by);
        AppError::bad_request(format!(
            "sort must be 'id', 'name', or 'last_activity', not '{by}'"
        ))
    })
}

/// Which part of the users is asked for, in the words of the API.
#[derive(Debug)]
pub struct Listed<'a> {
    pub state: Option<&'a str>,
    pub name_filter: Option<&'a str>,
    pub sort: Option<&'a str>,
    pub offset: i64,
    pub limit: i64,
}

/// The part that is asked for of those whom these scopes let somebody list.
pub fn query<'a>(scopes: &Scopes, listed: &Listed<'a>) -> Result<UserQuery<'a>, AppError> {
    let (users, groups) = match permit::reach(scopes, "list:users")? {
        Reach::All => (None, None),
        Reach::Only { users, groups, .. } => (Some(users), Some(groups)),
    };
    Ok(UserQuery {
        activity: activity(listed.state)?,
        name_filter: listed.name_filter,
        sort: sort(listed.sort)?,
        users,
        groups,
        offset: listed.offset,
        limit: listed.limit,
    })
}

/// Adds a user, who must be new.
pub async fn add(
    app: &App,
    permit: &Permit<AddUsers>,
    by: &Principal,
    name: &str,
    admin: bool,
) -> Result<User, AppError> {
    only_admins_grant(by, admin)?;
    let name = checked(app, name)?;
    let user = add_one(app, permit, by, &name, admin).await?;
    user.ok_or_else(|| AppError::conflict(format!("User {name} already exists")))
}

/// Adds users; those who exist already are passed over, unless all do.
pub async fn add_all(
    app: &App,
    permit: &Permit<AddUsers>,
    by: &Principal,
    names: &[String],
    admin: bool,
) -> Result<Vec<User>, AppError> {
    if names.is_empty() {
        return Err(AppError::bad_request(
            "Must specify at least one user to create",
        ));
    }
    only_admins_grant(by, admin)?;
    let checked: Result<Vec<_>, _> = names.iter().map(|name| checked(app, name)).collect();
    let mut added = Vec::new();
    for name in &checked? {
        added.extend(add_one(app, permit, by, name, admin).await?);
    }
    if added.is_empty() {
        let message = format!("All {} users already exist", names.len());
        return Err(AppError::conflict(message));
    }
    Ok(added)
}

/// None where there is one of this name.
async fn add_one(
    app: &App,
    _: &Permit<AddUsers>,
    by: &Principal,
    name: &UserName,
    admin: bool,
) -> Result<Option<User>, AppError> {
    if !app.db.add_user_by_admin(name, admin).await? {
        return Ok(None);
    }
    info!(user.name = %name, by = by.name(), admin, "User {name} was added");
    Ok(app.db.user(name).await?)
}

/// What a user is to be from now on, where it is said.
#[derive(Debug, Default)]
pub struct Change {
    pub name: Option<String>,
    pub admin: Option<bool>,
    pub auth_state: Option<Value>,
}

/// Gives a user another name, makes them an administrator or none, or keeps another state of them.
pub async fn change(
    app: &App,
    permit: &Permit<ChangeUser>,
    by: &Principal,
    change: Change,
) -> Result<User, AppError> {
    let Change {
        name,
        admin,
        auth_state,
    } = change;
    let user = app.db.user(&permit.0).await?.ok_or_else(no_such_user)?;
    if user.admin && !by.is_admin() {
        return Err(AppError::forbidden("Only admins can modify other admins"));
    }
    only_admins_grant(by, admin.unwrap_or(false))?;
    // Before anything is changed: all or nothing.
    let auth_state = auth_state.map(|state| crate::auth_state::seal(app, &user, &state));
    let auth_state = auth_state.transpose()?;
    if let Some(new) = name.filter(|new| *new != user.name) {
        let new = checked(app, &new)?;
        rename(app, &user, &new).await?;
        info!(user.name = %user.name, by = by.name(), "User {} is called {new} now", user.name);
    }
    if let Some(admin) = admin {
        app.db.make_admin(user.id, admin).await?;
        info!(user.name = %user.name, by = by.name(), admin, "admin={admin} was set for {}", user.name);
    }
    if let Some(sealed) = auth_state {
        app.db.set_auth_state(user.id, Some(&sealed)).await?;
        info!(user.name = %user.name, by = by.name(), "auth_state was set for {}", user.name);
    }
    let user = app.db.user_by_id(user.id).await?;
    user.ok_or_else(no_such_user)
}

async fn rename(app: &App, user: &User, new: &UserName) -> Result<(), AppError> {
    match app.db.rename_user(user.id, new).await? {
        Renamed::Done => Ok(()),
        Renamed::Taken => Err(AppError::bad_request(format!(
            "User {new} already exists, username must be unique"
        ))),
        Renamed::HasServers => Err(AppError::bad_request(format!(
            "{} has servers, whose files are kept under this name; delete them before the user is renamed",
            user.name
        ))),
    }
}

/// Deletes a user, with their servers.
pub async fn delete(
    app: &App,
    permit: &Permit<DeleteUser>,
    by: &Principal,
) -> Result<(), AppError> {
    let user = app.db.user(&permit.0).await?.ok_or_else(no_such_user)?;
    if by.user().is_some_and(|own| own.id == user.id) {
        return Err(AppError::bad_request("Cannot delete yourself!"));
    }
    for server in app.db.servers_of(user.id).await? {
        if servers::stop_one(app, &server, PATIENCE).await? == Stop::Stopping {
            return Err(AppError::bad_request(format!(
                "{}'s server is in the process of stopping, please wait.",
                user.name
            )));
        }
    }
    if !app.db.remove_user_without_servers(user.id, true).await? {
        return Err(AppError::bad_request(format!(
            "{} has started a server again; try again",
            user.name
        )));
    }
    servers::clear_leftovers(app).await;
    info!(user.name = %user.name, by = by.name(), "User {} was deleted", user.name);
    Ok(())
}

/// CVE-2024-41942: who may change users is not for that an administrator.
pub fn only_admins_grant(by: &Principal, admin: bool) -> Result<(), AppError> {
    if admin && !by.is_admin() {
        return Err(AppError::forbidden(
            "Only admins can grant admin permissions",
        ));
    }
    Ok(())
}

fn checked(app: &App, name: &str) -> Result<UserName, AppError> {
    let name =
        UserName::normalize(name).map_err(|invalid| AppError::bad_request(invalid.to_string()))?;
    if !accounts::fits_pattern(&app.config, &name) {
        return Err(AppError::bad_request(format!(
            "The user name {:?} does not fit Authenticator.username_pattern",
            &*name
        )));
    }
    Ok(name)
}
