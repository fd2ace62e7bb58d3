//! Groups as administrators manage them; by the API and by the admin page alike.

use tracing::info;

use crate::access::permit::{self, AddGroups, ChangeGroup, DeleteGroup, Permit};
use crate::access::principal::Principal;
use crate::access::scopes::{Reach, Scopes};
use crate::app::App;
use crate::db::groups::{AddGroup, Change, Group, Members};
use crate::error::AppError;
use crate::names::{GroupName, UserName};

/// All that these scopes let somebody list.
pub async fn list(app: &App, scopes: &Scopes) -> Result<Vec<Group>, AppError> {
    let reach = permit::reach(scopes, "list:groups")?;
    let mut groups = app.db.groups().await?;
    if let Reach::Only { groups: names, .. } = reach {
        groups.retain(|group| names.contains(&group.name));
    }
    Ok(groups)
}

/// The group of this name. Call it after the permit, as for users.
pub async fn find(app: &App, name: &str) -> Result<Group, AppError> {
    let group = app.db.group(name).await?;
    group.ok_or_else(|| no_such_group(name))
}

/// Adds groups, each with these members; all or none.
pub async fn add(
    app: &App,
    _: &Permit<AddGroups>,
    by: &Principal,
    names: &[String],
    users: &[String],
) -> Result<Vec<Group>, AppError> {
    if names.is_empty() {
        return Err(AppError::bad_request(
            "Must specify at least one group to create",
        ));
    }
    if let Some(name) = names
        .iter()
        .find(|name| GroupName::parse((*name).clone()).is_none())
    {
        return Err(AppError::bad_request(format!(
            "{:?} is no name of a group: it has 1 to 255 bytes, and no slash or control character",
            name.chars().take(40).collect::<String>()
        )));
    }
    match app.db.add_groups(names, &normalized(users)?).await? {
        Ok(()) => {}
        Err(AddGroup::Taken(name)) => {
            return Err(AppError::conflict(format!("Group {name} already exists")));
        }
        Err(AddGroup::NoUser(name)) => return Err(no_user(&name)),
    }
    let mut groups = Vec::new();
    for name in names {
        info!(group = name, by = by.name(), "Group {name} was added");
        groups.extend(app.db.group(name).await?);
    }
    Ok(groups)
}

pub async fn remove(
    app: &App,
    permit: &Permit<DeleteGroup>,
    by: &Principal,
) -> Result<(), AppError> {
    let name = &*permit.0;
    if !app.db.remove_group(name).await? {
        return Err(no_such_group(name));
    }
    info!(group = name, by = by.name(), "Group {name} was deleted");
    Ok(())
}

/// Has users come or go.
pub async fn change_members(
    app: &App,
    permit: &Permit<ChangeGroup>,
    by: &Principal,
    users: &[String],
    change: Change,
) -> Result<(), AppError> {
    let name = &*permit.0;
    let users = normalized(users)?;
    match app.db.change_members(name, &users, change).await? {
        Members::Changed => {}
        Members::NoGroup => return Err(no_such_group(name)),
        Members::NoUser(user) => return Err(no_user(&user)),
    }
    info!(
        group = name,
        by = by.name(),
        "The members of {name} were changed"
    );
    Ok(())
}

fn normalized(users: &[String]) -> Result<Vec<String>, AppError> {
    let names = users.iter().map(|name| match UserName::normalize(name) {
        Ok(name) => Ok(name.to_string()),
        Err(_) => Err(no_user(name)),
    });
    names.collect()
}

pub fn no_such_group(name: &str) -> AppError {
    AppError::not_found(format!("No such group: {name}"))
}

fn no_user(name: &str) -> AppError {
    let name = crate::auth::username::for_log(name);
    AppError::bad_request(format!("No such user: {name}"))
}
