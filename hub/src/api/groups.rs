//! `/hub/api/groups`: groups of users, who is in them, and their properties.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::info;

use super::body::Body;
use super::listing::Wanted;
use super::models;
use crate::access::permit::{AddGroups, ChangeGroup, DeleteGroup, Hub};
use crate::access::scopes::{Reach, Scopes, Target};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db::groups::{AddGroup, Change, Group, Members};
use crate::error::AppError;
use crate::names::{GroupName, UserName};

/// POST /groups
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewGroups {
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    users: Vec<String>,
}

/// POST /groups/:group, and who is to come or to go.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Users {
    users: Option<Vec<String>>,
    /// JupyterHub takes the name here too, and does not read it.
    #[serde(default)]
    #[expect(dead_code, reason = "taken and passed over")]
    name: Option<String>,
}

/// GET /groups
pub async fn list(
    State(app): State<App>,
    wanted: Wanted,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    let mut groups = app.db.groups().await?;
    match caller.reach("list:groups")? {
        Reach::All => {}
        Reach::Only { groups: names, .. } => groups.retain(|group| names.contains(&group.name)),
    }
    let (groups, total) = wanted.cut(groups);
    let items = models(&app, &groups, &caller.scopes).await?;
    Ok(Json(wanted.answer(items, total)))
}

/// POST /groups: several at once.
pub async fn create_many(
    State(app): State<App>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<Value>), AppError> {
    caller.permit(AddGroups(Hub))?;
    let new: NewGroups = body.object_or_default()?;
    if new.groups.is_empty() {
        return Err(AppError::bad_request(
            "Must specify at least one group to create",
        ));
    }
    let groups = add(&app, &caller, &new.groups, &new.users).await?;
    let models = models(&app, &groups, &caller.scopes).await?;
    Ok((StatusCode::CREATED, Json(models)))
}

/// GET /groups/:group
pub async fn get(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    let readable = ["read:groups", "read:groups:name", "read:roles:groups"];
    caller.require(&readable, Target::Group(&name))?;
    Ok(Json(model(&app, &name, &caller.scopes).await?))
}

/// POST /groups/:group
pub async fn create(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<Value>), AppError> {
    caller.permit(AddGroups(Hub))?;
    let new: Users = body.object_or_default()?;
    let users = new.users.unwrap_or_default();
    add(&app, &caller, &[name.to_string()], &users).await?;
    let model = model(&app, &name, &caller.scopes).await?;
    Ok((StatusCode::CREATED, Json(model)))
}

/// DELETE /groups/:group
pub async fn delete(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
) -> Result<StatusCode, AppError> {
    let name = caller.permit(DeleteGroup(name))?.into_inner().0;
    if !app.db.remove_group(&name).await? {
        return Err(no_such_group(&name));
    }
    info!(
        group = &*name,
        by = caller.principal.name(),
        "Group {} was deleted",
        &*name
    );
    Ok(StatusCode::NO_CONTENT)
}

/// POST /groups/:group/users
pub async fn add_users(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
    body: Body,
) -> Result<Json<Value>, AppError> {
    change_users(&app, name, &caller, &body, Change::Add).await
}

/// DELETE /groups/:group/users
pub async fn remove_users(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
    body: Body,
) -> Result<Json<Value>, AppError> {
    change_users(&app, name, &caller, &body, Change::Take).await
}

/// PUT /groups/:group/properties
pub async fn set_properties(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
    body: Body,
) -> Result<Json<Value>, AppError> {
    let name = caller.permit(ChangeGroup(name))?.into_inner().0;
    let properties: Option<Map<String, Value>> = body.object()?;
    let properties = properties.ok_or_else(|| AppError::bad_request("Must specify properties"))?;
    if !app.db.set_properties(&name, &properties).await? {
        return Err(no_such_group(&name));
    }
    Ok(Json(model(&app, &name, &caller.scopes).await?))
}

async fn add(
    app: &App,
    caller: &Caller,
    names: &[String],
    users: &[String],
) -> Result<Vec<Group>, AppError> {
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
        info!(
            group = name,
            by = caller.principal.name(),
            "Group {name} was added"
        );
        groups.extend(app.db.group(name).await?);
    }
    Ok(groups)
}

async fn change_users(
    app: &App,
    name: GroupName,
    caller: &Caller,
    body: &Body,
    change: Change,
) -> Result<Json<Value>, AppError> {
    let name = caller.permit(ChangeGroup(name))?.into_inner().0;
    find(app, &name).await?;
    let users: Users = body.object_or_default()?;
    let users = users.users.ok_or_else(|| {
        let verb = match change {
            Change::Add => "add",
            Change::Take => "delete",
        };
        AppError::bad_request(format!("Must specify users to {verb}"))
    })?;
    match app
        .db
        .change_members(&name, &normalized(&users)?, change)
        .await?
    {
        Members::Changed => {}
        Members::NoGroup => return Err(no_such_group(&name)),
        Members::NoUser(user) => return Err(no_user(&user)),
    }
    let name = &*name;
    info!(
        group = name,
        by = caller.principal.name(),
        "The members of {name} were changed"
    );
    Ok(Json(model(app, name, &caller.scopes).await?))
}

fn normalized(users: &[String]) -> Result<Vec<String>, AppError> {
    let names = users.iter().map(|name| match UserName::normalize(name) {
        Ok(name) => Ok(name.to_string()),
        Err(_) => Err(no_user(name)),
    });
    names.collect()
}

async fn model(app: &App, name: &str, scopes: &Scopes) -> Result<Value, AppError> {
    let group = find(app, name).await?;
    model_of(app, &group, scopes).await
}

/// The group of a path. Call it after the permit, as for users.
pub(super) async fn find(app: &App, name: &str) -> Result<Group, AppError> {
    let group = app.db.group(name).await?;
    group.ok_or_else(|| no_such_group(name))
}

async fn models(app: &App, groups: &[Group], scopes: &Scopes) -> Result<Value, AppError> {
    let mut models = Vec::new();
    for group in groups {
        models.push(model_of(app, group, scopes).await?);
    }
    Ok(json!(models))
}

async fn model_of(app: &App, group: &Group, scopes: &Scopes) -> Result<Value, AppError> {
    let members = app.db.members(group.id).await?;
    let roles = models::role_names(app.db.roles_of_group(group.id).await?);
    Ok(json!(models::group(group, &members, &roles, scopes)))
}

fn no_such_group(name: &str) -> AppError {
    AppError::not_found(format!("No such group: {name}"))
}

fn no_user(name: &str) -> AppError {
    let name = crate::auth::username::for_log(name);
    AppError::bad_request(format!("No such user: {name}"))
}
