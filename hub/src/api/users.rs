//! `/hub/api/user` and `/hub/api/users`.

use axum::extract::{Path, Query, State};
use bytes::Bytes;
use schemars_of_aide::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Created, Done};
use super::body::Body;
use super::listing::Wanted;
use super::shapes::{self, Listed};
use super::{find_user, models, services};
use crate::access::permit::{AddUsers, ChangeUser, DeleteUser, Hub};
use crate::access::principal::{self, Principal};
use crate::access::scopes::{Scopes, Target};
use crate::app::App;
use crate::auth::caller::{self, Caller};
use crate::auth_state;
use crate::db::memo::Keep;
use crate::db::users::User;
use crate::error::AppError;
use crate::names::Named;
use crate::users;

/// Query of a list of users, or of one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", inline)]
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
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide")]
#[serde(deny_unknown_fields)]
pub struct NewUsers {
    #[serde(default)]
    usernames: Vec<String>,
    #[serde(default)]
    admin: bool,
}

/// POST and PATCH /users/:user
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", rename = "UserChange")]
#[serde(deny_unknown_fields)]
pub struct Change {
    name: Option<String>,
    admin: Option<bool>,
    auth_state: Option<Map<String, Value>>,
}

/// GET /user: who am I? The answer that lets a visitor into a server; of all requests the most frequent.
pub async fn whoami(
    State(app): State<App>,
    caller: Caller,
) -> Result<Answer<shapes::Itself>, AppError> {
    let known = caller.whoami.get().cloned();
    let answer = match known {
        Some(answer) => answer,
        None => {
            let answer = Value::Object(self_model(&app, &caller).await?).to_string();
            caller.whoami.get_or_init(|| answer.into()).clone()
        }
    };
    Ok(Answer::written(answer))
}

async fn self_model(app: &App, caller: &Caller) -> Result<Map<String, Value>, AppError> {
    // Who logged in may say so too; of tokens these scopes are (SelfAPIHandler).
    let mut readable = principal::identify(&caller.principal);
    readable.extend(&caller.scopes);
    let mut model = identity(app, &caller.principal, &readable).await?;
    let token = caller.token.as_ref();
    let further = json!({
        "token_id": token.map(|token| format!("a{}", token.id)),
        "session_id": token.and_then(|token| token.session_id.clone()),
        "scopes": caller.scopes.to_list(),
    });
    if let Value::Object(further) = further {
        model.extend(further);
    }
    Ok(model)
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

/// A part of the list, as it was told to somebody.
struct Told {
    json: Bytes,
    /// No other caller is where this one is in memory while this is kept.
    _to: Caller,
}

impl Keep for Told {
    fn size(&self) -> usize {
        self.json.len() + 512
    }
}

/// GET /users. Dashboards and scripts ask for the same part again and again.
pub async fn list(
    State(app): State<App>,
    Query(shown): Query<Shown>,
    wanted: Wanted,
    caller: Caller,
) -> Result<Answer<Listed<shapes::User>>, AppError> {
    if caller.token.is_none() {
        let json = part(&app, &shown, &wanted, &caller.scopes);
        return Ok(Answer::written(json.await?));
    }
    // The caller as it was found: what it may see, and not only who it is.
    let key = format!("users {} {}", caller.address(), wanted.key());
    let find = async {
        let json = part(&app, &shown, &wanted, &caller.scopes).await?;
        let _to = caller.clone();
        Ok::<_, AppError>(Told { json, _to })
    };
    let told = app.db.memo(key, find).await?;
    Ok(Answer::written(told.json.clone()))
}

async fn part(
    app: &App,
    shown: &Shown,
    wanted: &Wanted,
    scopes: &Scopes,
) -> Result<Bytes, AppError> {
    let listed = users::Listed {
        state: shown.state.as_deref(),
        name_filter: shown.name_filter.as_deref(),
        sort: shown.sort.as_deref(),
        offset: wanted.offset,
        limit: wanted.limit,
    };
    let query = users::query(scopes, &listed)?;
    let (found, total) = app.db.list_users(&query).await?;
    let mut relations = models::Relations::of_all(&app.db, &found).await?;
    let models = found.iter().map(|user| {
        let relations = relations.remove(&user.id).unwrap_or_default();
        models::user(app, user, &relations, shown.stopped_servers(), scopes)
    });
    let items: Vec<_> = models.filter(|model| !model.is_empty()).collect();
    Ok(wanted.answer(json!(items), total).to_string().into())
}

/// POST /users: several at once; those who exist already are passed over, unless all do.
pub async fn create_many(
    State(app): State<App>,
    caller: Caller,
    body: Body<NewUsers>,
) -> Result<Created<Vec<shapes::User>>, AppError> {
    let permit = caller.permit(AddUsers(Hub))?;
    let new = body.object_or_default()?;
    let added = users::add_all(&app, &permit, &caller.principal, &new.usernames, new.admin).await?;
    let mut items = Vec::new();
    for user in &added {
        items.push(model(&app, user, false, &caller.scopes).await?);
    }
    Ok(Created::new(json!(items)))
}

/// GET /users/:user
pub async fn get(
    State(app): State<App>,
    named: Named,
    Query(shown): Query<Shown>,
    caller: Caller,
) -> Result<Answer<shapes::User>, AppError> {
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
    let mut model = model(&app, &user, shown.stopped_servers(), &caller.scopes).await?;
    if let Some(state) = model.get_mut("auth_state") {
        *state = auth_state::load(&app, &user).await?.unwrap_or_default();
    }
    Ok(Answer::new(model))
}

/// POST /users/:user
pub async fn create(
    State(app): State<App>,
    Path(name): Path<String>,
    caller: Caller,
    body: Body<Change>,
) -> Result<Created<shapes::User>, AppError> {
    let permit = caller.permit(AddUsers(Hub))?;
    let new = body.object_or_default()?;
    let admin = new.admin.unwrap_or(false);
    let user = users::add(&app, &permit, &caller.principal, &name, admin).await?;
    let model = model(&app, &user, false, &caller.scopes).await?;
    Ok(Created::new(model))
}

/// PATCH /users/:user: another name, or made an administrator or none.
pub async fn change(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Change>,
) -> Result<Answer<shapes::User>, AppError> {
    let permit = caller.permit(ChangeUser(named.user))?;
    find_user(&app, &permit.0).await?;
    let change = body.object()?;
    let change = change.ok_or_else(|| AppError::bad_request("Must specify what to change"))?;
    let state = change.auth_state.map(Value::Object);
    let change = users::Change {
        name: change.name,
        admin: change.admin,
        auth_state: state,
    };
    let user = users::change(&app, &permit, &caller.principal, change).await?;
    let mut model = model(&app, &user, false, &caller.scopes).await?;
    let state = auth_state::load(&app, &user).await?.unwrap_or_default();
    model.insert("auth_state".to_owned(), state);
    Ok(Answer::new(model))
}

/// DELETE /users/:user, with their servers.
pub async fn delete(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<Done, AppError> {
    let permit = caller.permit(DeleteUser(named.user))?;
    users::delete(&app, &permit, &caller.principal).await?;
    Ok(Done)
}

/// GET /authorizations/token/:token: whose token it is; from before `GET /user`, and for whoever has the token anyhow.
pub async fn owner_of_token(
    State(app): State<App>,
    Path(token): Path<String>,
    caller: Caller,
) -> Result<Answer<shapes::TokenOwner>, AppError> {
    let asked = caller::by_token(&app, &token).await?;
    let asked = asked.ok_or_else(|| AppError::not_found("No such token"))?;
    let mut readable = principal::identify(&asked.principal);
    readable.extend(&caller.scopes);
    let model = identity(&app, &asked.principal, &readable).await?;
    Ok(Answer::new(model))
}

/// POST /users/:user/admin-access: from before OAuth; who may enter a server needs no leave now.
pub async fn admin_access(named: Named, caller: Caller) -> Result<Done<200>, AppError> {
    caller.require(&["servers"], Target::User(&named.user))?;
    Err(AppError::forbidden("admin access to user servers disabled"))
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
