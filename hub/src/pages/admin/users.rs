//! Users in the admin page: the list, and one of them with what can be done about them.

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;

use super::{LIMIT, argument, names, offset, paging, require};
use crate::access::permit::{self, AddUsers, ChangeUser, DeleteUser, Hub};
use crate::access::scopes::Target;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::Posted;
use crate::db::servers::Server;
use crate::db::users::User;
use crate::error::AppError;
use crate::names::{Named, UserName, no_such_user};
use crate::pages::{rows, see_other};
use crate::templates;
use crate::templates::admin::{AdminRow, AdminUserPage, AdminUsersPage, UserFilter, UserRow};
use crate::{time, users};

/// What of the list is asked for; the names are those of the API.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    filter: UserFilter,
    offset: i64,
}

impl Wanted {
    pub(super) fn of(query: Option<&str>) -> Self {
        let text = |name| argument(query, name).unwrap_or_default();
        let sort = argument(query, "sort").unwrap_or_else(|| "name".to_owned());
        Self {
            filter: UserFilter {
                name_filter: text("name_filter"),
                state: text("state"),
                sort,
            },
            offset: offset(query),
        }
    }
}

/// The part of the list that is asked for, as far as the visitor may see it, and how many there are in all.
pub(super) async fn found(
    app: &App,
    login: &Login,
    wanted: &Wanted,
) -> Result<(Vec<User>, i64), AppError> {
    let filter = &wanted.filter;
    let name_filter = filter.name_filter.trim();
    let listed = users::Listed {
        state: Some(&filter.state),
        name_filter: (!name_filter.is_empty()).then_some(name_filter),
        sort: Some(&filter.sort),
        offset: wanted.offset,
        limit: LIMIT,
    };
    let query = users::query(&login.scopes, &listed)?;
    Ok(app.db.list_users(&query).await?)
}

/// GET /hub/admin
pub async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    login: Login,
) -> Result<Response, AppError> {
    show_list(
        &app,
        &login,
        query.as_deref(),
        StatusCode::OK,
        Add::default(),
    )
    .await
}

/// What somebody wrote to add users, and why it was not done.
#[derive(Debug, Default)]
struct Add {
    text: String,
    admin: bool,
    error: Option<String>,
}

/// POST /hub/admin/users: fields `usernames`, one a line, and `admin`.
pub async fn add(State(app): State<App>, posted: Posted) -> Result<Response, AppError> {
    let (login, fields) = posted.fresh()?;
    let permit = login.permit(AddUsers(Hub))?;
    let text = fields.get("usernames");
    let admin = !fields.get("admin").is_empty();
    match users::add_all(&app, &permit, &login.principal(), &names(text), admin).await {
        Ok(_) => Ok(see_other(&format!("{}admin?sort=-id", app.urls.hub))),
        Err(error) => {
            let (status, message) = error.into_parts();
            let add = Add {
                text: text.to_owned(),
                admin,
                error: Some(message),
            };
            show_list(&app, &login, None, status, add).await
        }
    }
}

async fn show_list(
    app: &App,
    login: &Login,
    query: Option<&str>,
    status: StatusCode,
    add: Add,
) -> Result<Response, AppError> {
    require(login)?;
    let wanted = Wanted::of(query);
    let (found, total) = found(app, login, &wanted).await?;
    let ids: Vec<i64> = found.iter().map(|user| user.id).collect();
    let mut servers: HashMap<i64, Vec<Server>> = HashMap::new();
    for server in app.db.servers_of_users(&ids).await? {
        servers.entry(server.user_id).or_default().push(server);
    }
    let shown = found.len();
    let rows = found.into_iter().map(|user| {
        let own = servers.remove(&user.id).unwrap_or_default();
        row(app, login, user, own)
    });
    let rows = rows.collect();
    let filter = wanted.filter;
    let link = |offset| filter.link(&filter.sort, offset);
    let page = AdminUsersPage {
        page: login.page(app),
        rows,
        paging: paging(wanted.offset, shown, total, link),
        may_add: login.scopes.holds("admin:users", Target::Hub),
        may_make_admin: login.user().admin,
        offset: wanted.offset,
        filter,
        usernames: add.text,
        admin: add.admin,
        error: add.error,
    };
    Ok(templates::respond(status, &page))
}

fn row(app: &App, login: &Login, user: User, servers: Vec<Server>) -> UserRow {
    let mut rows: Vec<AdminRow> = servers
        .into_iter()
        .filter_map(|server| rows::administered(app, login, server))
        .collect();
    if !rows.iter().any(|row| row.server.name.is_empty()) {
        let never = Server::never_started(&user, app.urls.server(&user.name, ""));
        rows.splice(0..0, rows::administered(app, login, never));
    }
    let target = Target::User(&user.name);
    let holds = |scope| login.scopes.holds(scope, target);
    UserRow {
        url: rows::user_url(app, &user.name),
        is_own: user.id == login.user().id,
        may_change: holds("admin:users") && (!user.admin || login.user().admin),
        may_delete: holds("delete:users"),
        last_activity: user
            .last_activity
            .filter(|_| holds("read:users:activity"))
            .map(time::human),
        admin: user.admin && holds("read:users:name"),
        servers: rows,
        name: user.name,
    }
}

/// GET /hub/admin/users/:user
pub async fn one(State(app): State<App>, named: Named, login: Login) -> Result<Response, AppError> {
    show_one(&app, &login, &named.user, StatusCode::OK, None).await
}

/// POST /hub/admin/users/:user: fields `name` and `admin`.
pub async fn change(
    State(app): State<App>,
    named: Named,
    posted: Posted,
) -> Result<Response, AppError> {
    let (login, fields) = posted.fresh()?;
    let permit = login.permit(ChangeUser(named.user))?;
    let name = Some(fields.get("name").trim().to_owned());
    let admin = !fields.get("admin").is_empty();
    // What stays as it is need not be allowed.
    let user = app.db.user(&permit.0).await?.ok_or_else(no_such_user)?;
    let admin = (admin != user.admin).then_some(admin);
    let change = users::Change {
        name,
        admin,
        auth_state: None,
    };
    match users::change(&app, &permit, &login.principal(), change).await {
        Ok(user) => Ok(see_other(&rows::user_url(&app, &user.name))),
        Err(error) => {
            let (status, message) = error.into_parts();
            show_one(&app, &login, &permit.0, status, Some(message)).await
        }
    }
}

/// POST /hub/admin/users/:user/delete
pub async fn delete(
    State(app): State<App>,
    named: Named,
    posted: Posted,
) -> Result<Response, AppError> {
    let (login, _) = posted.fresh()?;
    let permit = login.permit(DeleteUser(named.user))?;
    match users::delete(&app, &permit, &login.principal()).await {
        Ok(()) => Ok(see_other(&format!("{}admin", app.urls.hub))),
        Err(error) => {
            let (status, message) = error.into_parts();
            show_one(&app, &login, &permit.0, status, Some(message)).await
        }
    }
}

async fn show_one(
    app: &App,
    login: &Login,
    name: &UserName,
    status: StatusCode,
    error: Option<String>,
) -> Result<Response, AppError> {
    require(login)?;
    permit::require(&login.scopes, &["list:users"], Target::User(name))?;
    let user = app.db.user(name).await?.ok_or_else(no_such_user)?;
    let servers = app.db.servers_of(user.id).await?;
    let groups = match login.scopes.holds("read:users:groups", Target::User(name)) {
        true => app.db.groups_of(user.id).await?,
        false => Vec::new(),
    };
    let page = AdminUserPage {
        page: login.page(app),
        created: time::human(user.created),
        groups: rows::group_links(app, groups),
        may_make_admin: login.user().admin,
        row: row(app, login, user, servers),
        error,
    };
    Ok(templates::respond(status, &page))
}
