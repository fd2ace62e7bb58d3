//! Groups in the admin page: the list, and one of them with its members.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;

use super::{cut, names, offset, paging, require};
use crate::access::permit::{self, AddGroups, ChangeGroup, DeleteGroup, Hub};
use crate::access::scopes::Target;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::Posted;
use crate::db::groups::Change;
use crate::error::AppError;
use crate::groups;
use crate::names::GroupName;
use crate::pages::{rows, see_other};
use crate::templates;
use crate::templates::admin::{AdminGroupPage, AdminGroupsPage};

/// GET /hub/admin/groups
pub async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    login: Login,
) -> Result<Response, AppError> {
    show_list(&app, &login, query.as_deref(), StatusCode::OK, None).await
}

/// POST /hub/admin/groups: field `name`.
pub async fn add(State(app): State<App>, posted: Posted) -> Result<Response, AppError> {
    let (login, fields) = posted.fresh()?;
    let permit = login.permit(AddGroups(Hub))?;
    let name = [fields.get("name").trim().to_owned()];
    match groups::add(&app, &permit, &login.principal(), &name, &[]).await {
        Ok(_) => Ok(see_other(&rows::group_url(&app, &name[0]))),
        Err(error) => {
            let (status, message) = error.into_parts();
            show_list(&app, &login, None, status, Some(message)).await
        }
    }
}

async fn show_list(
    app: &App,
    login: &Login,
    query: Option<&str>,
    status: StatusCode,
    error: Option<String>,
) -> Result<Response, AppError> {
    require(login)?;
    let all = groups::list(app, &login.scopes).await?;
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let offset = offset(query);
    let part = cut(all, offset);
    let ids: Vec<i64> = part.iter().map(|group| group.id).collect();
    let counts = app.db.member_counts(&ids).await?;
    let rows = part.into_iter().map(|group| {
        let count = counts.get(&group.id).copied().unwrap_or(0);
        (rows::group_link(app, group.name), count)
    });
    let rows: Vec<_> = rows.collect();
    let page = AdminGroupsPage {
        page: login.page(app),
        paging: paging(offset, rows.len(), total, |offset| {
            format!("?offset={offset}")
        }),
        rows,
        may_add: login.scopes.holds("admin:groups", Target::Hub),
        error,
    };
    Ok(templates::respond(status, &page))
}

/// GET /hub/admin/groups/:group
pub async fn one(
    State(app): State<App>,
    name: GroupName,
    login: Login,
) -> Result<Response, AppError> {
    show_one(&app, &login, &name, StatusCode::OK, None).await
}

/// POST /hub/admin/groups/:group: fields `add` and `take`, names of users.
pub async fn change(
    State(app): State<App>,
    name: GroupName,
    posted: Posted,
) -> Result<Response, AppError> {
    let (login, fields) = posted.fresh()?;
    let permit = login.permit(ChangeGroup(name))?;
    let (users, change) = match fields.get("take") {
        "" => (names(fields.get("add")), Change::Add),
        name => (vec![name.to_owned()], Change::Take),
    };
    match groups::change_members(&app, &permit, &login.principal(), &users, change).await {
        Ok(()) => Ok(see_other(&rows::group_url(&app, &permit.0))),
        Err(error) => {
            let (status, message) = error.into_parts();
            show_one(&app, &login, &permit.0, status, Some(message)).await
        }
    }
}

/// POST /hub/admin/groups/:group/delete
pub async fn delete(
    State(app): State<App>,
    name: GroupName,
    posted: Posted,
) -> Result<Response, AppError> {
    let (login, _) = posted.fresh()?;
    let permit = login.permit(DeleteGroup(name))?;
    groups::remove(&app, &permit, &login.principal()).await?;
    Ok(see_other(&format!("{}admin/groups", app.urls.hub)))
}

async fn show_one(
    app: &App,
    login: &Login,
    name: &GroupName,
    status: StatusCode,
    error: Option<String>,
) -> Result<Response, AppError> {
    require(login)?;
    let target = Target::Group(name);
    permit::require(&login.scopes, &["read:groups"], target)?;
    let group = groups::find(app, name).await?;
    let members = app.db.members(group.id).await?;
    let properties = serde_json::Value::Object(group.properties);
    let page = AdminGroupPage {
        page: login.page(app),
        url: rows::group_url(app, name),
        members: rows::user_links(app, members),
        properties: format!("{properties:#}"),
        may_change: login.scopes.holds("groups", target),
        may_delete: login.scopes.holds("delete:groups", target),
        name: group.name,
        error,
    };
    Ok(templates::respond(status, &page))
}
