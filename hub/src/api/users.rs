//! `/hub/api/user` and `/hub/api/users`.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::info;

use super::body::Body;
use super::listing::Wanted;
use super::{find_user, models, only_admins_grant, services};
use crate::access::permit::{AddUsers, ChangeUser, DeleteUser, Hub};
use crate::access::principal::{self, Principal};
use crate::access::scopes::{Reach, Scopes, Target};
use crate::accounts;
use crate::app::App;
use crate::auth::caller::{self, Caller};
use crate::db::user_lists::{Activity, Sort, UserQuery};
use crate::db::users::{Renamed, User};
use crate::error::AppError;
use crate::names::{Named, UserName};
use crate::servers::{self, Stop};

/// How long a deletion waits for a server to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Query of a list of users, or of one.
#[derive(Debug, Default, Deserialize)]
pub struct Shown {
    state: Option<String>,
    name_filter: Option<String>,
    sort: Option<String>,
    /// On, but for `0` and `false`.
    include_stopped_servers: Option<String>,
}

impl Shown {
    fn stopped_servers(&self) -> bool {
        let value = self.include_stopped_servers.as_deref();
        value.is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }
}

/// POST /users
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUsers {
    #[serde(default)]
    usernames: Vec<String>,
    #[serde(default)]
    admin: bool,
}

/// POST and PATCH /users/:user
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    name: Option<String>,
    admin: Option<bool>,
}

/// GET /user: who am I? The answer that lets a visitor into a server.
pub async fn whoami(State(app): State<App>, caller: Caller) -> Result<Json<Value>, AppError> {
    // Who logged in may say so too; of tokens these scopes are (SelfAPIHandler).
    let mut readable = principal::identify(&caller.principal);
    readable.extend(&caller.scopes);
    let mut model = identity(&app, &caller.principal, &readable).await?;
    let token = caller.token.as_ref();
    let further = json!({
        "token_id": token.map(|token| format!("a{}", token.id)),
        "session_id": token.and_then(|token| token.session_id.clone()),
        "scopes": caller.scopes.to_list(),
    });
    if let Value::Object(further) = further {
        model.extend(further);
    }
    Ok(Json(Value::Object(model)))
}

async fn identity(
    app: &App,
    principal: &Principal,
    readable: &Scopes,
) -> Result<Map<String, Value>, AppError> {
    match principal {
        Principal::User(user) => model(app, user, false, readable).await,
        Principal::Service(service) => services::model(app, service, readable).await,
    }
}

/// GET /users
pub async fn list(
    State(app): State<App>,
    Query(shown): Query<Shown>,
    wanted: Wanted,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    let (users, groups) = match caller.reach("list:users")? {
        Reach::All => (None, None),
        Reach::Only { users, groups, .. } => (Some(users), Some(groups)),
    };
    let query = UserQuery {
        activity: activity(shown.state.as_deref())?,
        name_filter: shown.name_filter.as_deref(),
        sort: sort(shown.sort.as_deref())?,
        users,
        groups,
        offset: wanted.offset,
        limit: wanted.limit,
    };
    let (users, total) = app.db.list_users(&query).await?;
    let mut items = Vec::new();
    for user in &users {
        let model = model(&app, user, shown.stopped_servers(), &caller.scopes).await?;
        items.extend((!model.is_empty()).then_some(model));
    }
    Ok(Json(wanted.answer(json!(items), total)))
}

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

/// POST /users: several at once; those who exist already are passed over, unless all do.
pub async fn create_many(
    State(app): State<App>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<Value>), AppError> {
    caller.permit(AddUsers(Hub))?;
    let new: NewUsers = body.object_or_default()?;
    if new.usernames.is_empty() {
        return Err(AppError::bad_request(
            "Must specify at least one user to create",
        ));
    }
    only_admins_grant(&caller, new.admin)?;
    let names: Result<Vec<_>, _> = new
        .usernames
        .iter()
        .map(|name| checked(&app, name))
        .collect();
    let mut items = Vec::new();
    for name in &names? {
        if let Some(user) = add(&app, &caller, name, new.admin).await? {
            items.push(model(&app, &user, false, &caller.scopes).await?);
        }
    }
    if items.is_empty() {
        let message = format!("All {} users already exist", new.usernames.len());
        return Err(AppError::conflict(message));
    }
    Ok((StatusCode::CREATED, Json(json!(items))))
}

/// GET /users/:user
pub async fn get(
    State(app): State<App>,
    named: Named,
    Query(shown): Query<Shown>,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    let readable = [
        "read:users",
        "read:users:name",
        "read:servers",
        "read:users:groups",
        "read:users:activity",
        "read:roles:users",
    ];
    caller.require(&readable, Target::User(&named.user))?;
    let user = find_user(&app, &named.user).await?;
    let model = model(&app, &user, shown.stopped_servers(), &caller.scopes).await?;
    Ok(Json(Value::Object(model)))
}

/// POST /users/:user
pub async fn create(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    body: Body,
) -> Result<(StatusCode, Json<Value>), AppError> {
    caller.permit(AddUsers(Hub))?;
    let new: Change = body.object_or_default()?;
    let admin = new.admin.unwrap_or(false);
    only_admins_grant(&caller, admin)?;
    let name = checked(&app, &name)?;
    let user = add(&app, &caller, &name, admin).await?;
    let taken = || AppError::conflict(format!("User {name} already exists"));
    let user = user.ok_or_else(taken)?;
    let model = model(&app, &user, false, &caller.scopes).await?;
    Ok((StatusCode::CREATED, Json(Value::Object(model))))
}

/// PATCH /users/:user: another name, or made an administrator or none.
pub async fn change(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body,
) -> Result<Json<Value>, AppError> {
    let permit = caller.permit(ChangeUser(named.user))?;
    let user = find_user(&app, &permit.0).await?;
    let change: Option<Change> = body.object()?;
    let change = change.ok_or_else(|| AppError::bad_request("Must specify what to change"))?;
    if user.admin && !caller.principal.is_admin() {
        return Err(AppError::forbidden("Only admins can modify other admins"));
    }
    only_admins_grant(&caller, change.admin.unwrap_or(false))?;
    let by = caller.principal.name();
    if let Some(admin) = change.admin {
        app.db.make_admin(user.id, admin).await?;
        info!(user.name = %user.name, by, admin, "admin={admin} was set for {}", user.name);
    }
    let mut name = permit.into_inner().0;
    if let Some(new) = change.name.filter(|new| **new != user.name) {
        let new = checked(&app, &new)?;
        rename(&app, &user, &new).await?;
        info!(user.name = %user.name, by, "User {} is called {new} now", user.name);
        name = new;
    }
    let user = find_user(&app, &name).await?;
    let mut model = model(&app, &user, false, &caller.scopes).await?;
    model.insert("auth_state".to_owned(), Value::Null);
    Ok(Json(Value::Object(model)))
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

/// DELETE /users/:user, with their servers.
pub async fn delete(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<StatusCode, AppError> {
    let permit = caller.permit(DeleteUser(named.user))?;
    let user = find_user(&app, &permit.0).await?;
    if caller.principal.user().is_some_and(|own| own.id == user.id) {
        return Err(AppError::bad_request("Cannot delete yourself!"));
    }
    for server in app.db.servers_of(user.id).await? {
        if servers::stop_one(&app, &server, PATIENCE).await? == Stop::Stopping {
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
    servers::clear_leftovers(&app).await;
    info!(user.name = %user.name, by = caller.principal.name(), "User {} was deleted", user.name);
    Ok(StatusCode::NO_CONTENT)
}

/// GET /authorizations/token/:token: whose token it is; from before `GET /user`, and for whoever has the token anyhow.
pub async fn owner_of_token(
    State(app): State<App>,
    Path(token): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, AppError> {
    let asked = caller::by_token(&app, &token).await;
    let asked = asked.map_err(|_| AppError::not_found("No such token"))?;
    let mut readable = principal::identify(&asked.principal);
    readable.extend(&caller.scopes);
    identity(&app, &asked.principal, &readable)
        .await
        .map(|model| Json(Value::Object(model)))
}

/// POST /users/:user/admin-access: from before OAuth; who may enter a server needs no leave now.
pub async fn admin_access(named: Named, caller: Caller) -> Result<(), AppError> {
    caller.require(&["servers"], Target::User(&named.user))?;
    Err(AppError::forbidden("admin access to user servers disabled"))
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

/// None where there is one of this name.
async fn add(
    app: &App,
    caller: &Caller,
    name: &UserName,
    admin: bool,
) -> Result<Option<User>, AppError> {
    if !app.db.add_user_by_admin(name, admin).await? {
        return Ok(None);
    }
    info!(user.name = %name, by = caller.principal.name(), admin, "User {name} was added");
    Ok(app.db.user(name).await?)
}

async fn model(
    app: &App,
    user: &User,
    include_stopped: bool,
    scopes: &Scopes,
) -> Result<Map<String, Value>, AppError> {
    let relations = models::Relations::of(&app.db, user).await?;
    Ok(models::user(app, user, &relations, include_stopped, scopes))
}
