//! Servers in the admin page: those that are active over all users, and starting and stopping them.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::{cut, offset, paging, require, users, with_query};
use crate::access::permit::{Permit, StartServer, StopServer};
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::Posted;
use crate::db::servers::Server;
use crate::error::AppError;
use crate::names::{Named, UserName};
use crate::pages::home::removed;
use crate::pages::{PATIENCE, next_path, rows, see_other};
use crate::refresh;
use crate::servers::{self, StartError, Wanted};
use crate::templates;
use crate::templates::admin::{AdminRow, AdminServersPage};

/// GET /hub/admin/servers: all that are not stopped.
pub async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    login: Login,
) -> Result<Response, AppError> {
    require(&login)?;
    let active = app.db.active_servers().await?.into_iter();
    let readable = active.filter(|server| rows::may_read(&login, server));
    let all: Vec<Server> = readable.collect();
    let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let offset = offset(query.as_deref());
    let part = cut(all, offset).into_iter();
    let rows: Vec<AdminRow> = part
        .filter_map(|server| rows::administered(&app, &login, server))
        .collect();
    let page = AdminServersPage {
        page: login.page(&app),
        paging: paging(offset, rows.len(), total, |offset| {
            format!("?offset={offset}")
        }),
        rows,
    };
    Ok(templates::respond(StatusCode::OK, &page))
}

/// Back to the page of the form.
fn back(app: &App, query: Option<&str>, headers: &HeaderMap) -> Response {
    let admin = || format!("{}admin", app.urls.hub);
    see_other(&next_path(app, query, headers).unwrap_or_else(admin))
}

/// POST /hub/admin/start/:user[/:server]: with the options of the last time.
pub async fn start(
    State(app): State<App>,
    named: Named,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, AppError> {
    let (login, _) = posted.fresh()?;
    let permit = login.permit(StartServer(named))?;
    let user = &*permit.0.user;
    refresh::before_start(&app, user, *user == *login.user().name).await?;
    match servers::start(&app, permit, Wanted::default()).await {
        // Somebody was faster.
        Ok(_) | Err(StartError::AlreadyRunning(_)) => Ok(back(&app, query.as_deref(), &headers)),
        Err(error) => Err(error.into()),
    }
}

/// POST /hub/admin/delete-server/:user/:server
pub async fn delete(
    State(app): State<App>,
    named: Named,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, AppError> {
    let (login, _) = posted.fresh()?;
    let permit = login.permit(StopServer(named))?;
    if permit.0.server.is_empty() {
        return Err(AppError::bad_request("Cannot delete the default server"));
    }
    let stop = servers::remove(&app, &permit, PATIENCE).await?;
    removed(stop, &permit.0.server)?;
    Ok(back(&app, query.as_deref(), &headers))
}

/// POST /hub/admin/start-all: the default servers of the users that the page with this query shows.
pub async fn start_all(
    State(app): State<App>,
    query: RawQuery,
    posted: Posted,
) -> Result<Response, AppError> {
    let (login, _) = posted.fresh()?;
    let mut refused = Vec::new();
    for named in of_page(&app, &login, &query).await? {
        // What the visitor may not start, or runs already, is passed over.
        let Ok(permit) = login.permit(StartServer(named)) else {
            continue;
        };
        let user = permit.0.user.clone();
        if let Err(error) = start_one(&app, permit, *user == *login.user().name).await {
            refused.push(format!("{user}: {}", error.into_parts().1));
        }
    }
    if !refused.is_empty() {
        let refused = refused.join("; ");
        return Err(AppError::conflict(format!(
            "All were asked to start but these: {refused}"
        )));
    }
    Ok(see_other(&with_query(
        format!("{}admin", app.urls.hub),
        &query,
    )))
}

async fn start_one(
    app: &App,
    permit: Permit<StartServer>,
    own_browser: bool,
) -> Result<(), AppError> {
    refresh::before_start(app, &permit.0.user, own_browser).await?;
    match servers::start(app, permit, Wanted::default()).await {
        Ok(_) | Err(StartError::AlreadyRunning(_) | StartError::Stopping(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// POST /hub/admin/stop-all: all servers of these users.
pub async fn stop_all(
    State(app): State<App>,
    query: RawQuery,
    posted: Posted,
) -> Result<Response, AppError> {
    let (login, _) = posted.fresh()?;
    let (found, _) = users::found(&app, &login, &users::Wanted::of(query.0.as_deref())).await?;
    let ids: Vec<i64> = found.iter().map(|user| user.id).collect();
    let named = app.db.servers_of_users(&ids).await?.into_iter();
    let named = named.filter_map(|server| {
        let user = UserName::normalize(&server.user).ok()?;
        Some(Named {
            user,
            server: server.name,
        })
    });
    let permits = named.filter_map(|named| login.permit(StopServer(named)).ok());
    let permits: Vec<_> = permits.collect();
    let stops = permits
        .iter()
        .map(|permit| servers::stop(&app, permit, PATIENCE));
    futures_util::future::try_join_all(stops).await?;
    Ok(see_other(&with_query(
        format!("{}admin", app.urls.hub),
        &query,
    )))
}

/// The default servers of the users that a page shows.
async fn of_page(app: &App, login: &Login, query: &RawQuery) -> Result<Vec<Named>, AppError> {
    let wanted = users::Wanted::of(query.0.as_deref());
    let (found, _) = users::found(app, login, &wanted).await?;
    let named = found.iter().map(|user| Named {
        user: UserName::of(user),
        server: String::new(),
    });
    Ok(named.collect())
}
