//! `/hub/api/groups`: groups of users, who is in them, and their properties.

use axum::extract::State;
use schemars_of_aide::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Created, Done};
use super::body::Body;
use super::listing::Wanted;
use super::models;
use super::shapes::{self, Listed};
use crate::access::permit::{AddGroups, ChangeGroup, DeleteGroup, Hub};
use crate::access::scopes::{Scopes, Target};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db::groups::{Change, Group};
use crate::error::AppError;
use crate::groups;
use crate::names::GroupName;

/// POST /groups
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide")]
#[serde(deny_unknown_fields)]
pub struct NewGroups {
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    users: Vec<String>,
}

/// POST /groups/:group, and who is to come or to go.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", rename = "GroupUsers")]
#[serde(deny_unknown_fields)]
pub struct Users {
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
) -> Result<Answer<Listed<shapes::Group>>, AppError> {
    let (groups, total) = wanted.cut(groups::list(&app, &caller.scopes).await?);
    let items = models(&app, &groups, &caller.scopes).await?;
    Ok(Answer::new(wanted.answer(items, total)))
}

/// POST /groups: several at once.
pub async fn create_many(
    State(app): State<App>,
    caller: Caller,
    body: Body<NewGroups>,
) -> Result<Created<Vec<shapes::Group>>, AppError> {
    let permit = caller.permit(AddGroups(Hub))?;
    let new = body.object_or_default()?;
    let added = groups::add(&app, &permit, &caller.principal, &new.groups, &new.users).await?;
    let models = models(&app, &added, &caller.scopes).await?;
    Ok(Created::new(models))
}

/// GET /groups/:group
pub async fn get(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
) -> Result<Answer<shapes::Group>, AppError> {
    let readable = ["read:groups", "read:groups:name", "read:roles:groups"];
    caller.require(&readable, Target::Group(&name))?;
    Ok(Answer::new(model(&app, &name, &caller.scopes).await?))
}

/// POST /groups/:group
pub async fn create(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
    body: Body<Users>,
) -> Result<Created<shapes::Group>, AppError> {
    let permit = caller.permit(AddGroups(Hub))?;
    let new = body.object_or_default()?;
    let users = new.users.unwrap_or_default();
    groups::add(
        &app,
        &permit,
        &caller.principal,
        &[name.to_string()],
        &users,
    )
    .await?;
    let model = model(&app, &name, &caller.scopes).await?;
    Ok(Created::new(model))
}

/// DELETE /groups/:group
pub async fn delete(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
) -> Result<Done, AppError> {
    let permit = caller.permit(DeleteGroup(name))?;
    groups::remove(&app, &permit, &caller.principal).await?;
    Ok(Done)
}

/// POST /groups/:group/users
pub async fn add_users(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
    body: Body<Users>,
) -> Result<Answer<shapes::Group>, AppError> {
    change_users(&app, name, &caller, &body, Change::Add).await
}

/// DELETE /groups/:group/users
pub async fn remove_users(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
    body: Body<Users>,
) -> Result<Answer<shapes::Group>, AppError> {
    change_users(&app, name, &caller, &body, Change::Take).await
}

/// PUT /groups/:group/properties
pub async fn set_properties(
    State(app): State<App>,
    name: GroupName,
    caller: Caller,
    body: Body<Map<String, Value>>,
) -> Result<Answer<shapes::Group>, AppError> {
    let name = caller.permit(ChangeGroup(name))?.into_inner().0;
    let properties = body.object()?;
    let properties = properties.ok_or_else(|| AppError::bad_request("Must specify properties"))?;
    if !app.db.set_properties(&name, &properties).await? {
        return Err(groups::no_such_group(&name));
    }
    Ok(Answer::new(model(&app, &name, &caller.scopes).await?))
}

async fn model(app: &App, name: &str, scopes: &Scopes) -> Result<Value, AppError> {
    let group = groups::find(app, name).await?;
    model_of(app, &group, scopes).await
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

/// POST or DELETE of /groups/:group/users.
async fn change_users(
    app: &App,
    name: GroupName,
    caller: &Caller,
    body: &Body<Users>,
    change: Change,
) -> Result<Answer<shapes::Group>, AppError> {
    let permit = caller.permit(ChangeGroup(name))?;
    groups::find(app, &permit.0).await?;
    let users = body.object_or_default()?;
    let users = users.users.ok_or_else(|| {
        let verb = match change {
            Change::Add => "add",
            Change::Take => "delete",
        };
        AppError::bad_request(format!("Must specify users to {verb}"))
    })?;
    groups::change_members(app, &permit, &caller.principal, &users, change).await?;
    Ok(Answer::new(model(app, &permit.0, &caller.scopes).await?))
}
