//! The home page with a user's servers, and where a user lands without asking for a page.

use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;

use super::{PATIENCE, rows, see_other};
use crate::access::permit::{StartServer, StopServer};
use crate::access::scopes::Target;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::{Posted, STALE};
use crate::db::servers::Server;
use crate::db::services::Service;
use crate::db::shares::Share;
use crate::error::AppError;
use crate::names::{Named, UserName};
use crate::servers::named::{self, Wanted};
use crate::servers::{self, Stop};
use crate::sessions;
use crate::templates;
use crate::templates::home::{HomePage, NamedServers, ServerRow, ServerState, SharedRow};

/// GET /hub/
pub async fn root(State(app): State<App>, login: Login) -> Result<Response, AppError> {
    Ok(see_other(&sessions::landing(&app, login.user()).await?))
}

/// GET /hub/home
pub async fn home(State(app): State<App>, login: Login) -> Result<Response, AppError> {
    show(&app, &login, StatusCode::OK, None).await
}

/// POST /hub/home/servers: a further server, which is not started yet.
pub async fn add(State(app): State<App>, posted: Posted) -> Result<Response, AppError> {
    let login = posted.login;
    let Ok(fields) = posted.fields else {
        return show_stale(&app, &login).await;
    };
    let permit = login.permit(StartServer(own(&login, fields.get("name").trim())))?;
    let wanted = Wanted {
        display_name: Some(fields.get("display_name").trim().to_owned()),
        ..Wanted::default()
    };
    // The default server has no name, and is there.
    let added = match permit.0.server.is_empty() {
        true => Err(named::NamedError::Name),
        false => named::create(&app, permit, wanted).await,
    };
    to_home(&app, &login, added.map(drop)).await
}

/// POST /hub/home/servers/:server: another name, or what people call it.
pub async fn change(
    State(app): State<App>,
    Path(name): Path<String>,
    posted: Posted,
) -> Result<Response, AppError> {
    let login = posted.login;
    let Ok(fields) = posted.fields else {
        return show_stale(&app, &login).await;
    };
    let permit = login.permit(StartServer(own(&login, &name)))?;
    let new = fields.get("name").trim();
    let wanted = Wanted {
        name: (new != name).then(|| new.to_owned()),
        display_name: Some(fields.get("display_name").trim().to_owned()),
        user_options: None,
    };
    let changed = named::change(&app, permit, wanted).await;
    to_home(&app, &login, changed.map(drop)).await
}

/// POST /hub/home/servers/:server/delete
pub async fn delete(
    State(app): State<App>,
    Path(name): Path<String>,
    posted: Posted,
) -> Result<Response, AppError> {
    let login = posted.login;
    if posted.fields.is_err() {
        return show_stale(&app, &login).await;
    }
    let permit = login.permit(StopServer(own(&login, &name)))?;
    let stop = servers::remove(&app, &permit, PATIENCE).await?;
    let deleted = removed(stop, &name);
    to_home(&app, &login, deleted).await
}

/// POST /hub/keep-running/:user[/:server]: as if the server had just been used.
pub async fn keep_running(
    State(app): State<App>,
    named: Named,
    posted: Posted,
) -> Result<Response, AppError> {
    let login = posted.login;
    if posted.fields.is_err() {
        return show_stale(&app, &login).await;
    }
    let permit = login.permit(StartServer(named))?;
    servers::keep_running(&app, &permit).await?;
    Ok(see_other(&app.urls.home()))
}

/// What [`servers::remove`] has come to, of a server of this name.
pub(in crate::pages) fn removed(stop: Stop, name: &str) -> Result<(), AppError> {
    match stop {
        Stop::Stopped | Stop::Stopping => Ok(()),
        Stop::StartedAgain => Err(AppError::conflict(format!(
            "{name} has been started again: stop it first."
        ))),
        Stop::None => Err(AppError::not_found(format!(
            "There is no server named {name:?}."
        ))),
    }
}

fn own(login: &Login, server: &str) -> Named {
    Named {
        user: UserName::of(login.user()),
        server: server.to_owned(),
    }
}

async fn to_home<E: Into<AppError>>(
    app: &App,
    login: &Login,
    done: Result<(), E>,
) -> Result<Response, AppError> {
    match done {
        Ok(()) => Ok(see_other(&app.urls.home())),
        Err(error) => {
            let (status, message) = error.into().into_parts();
            show(app, login, status, Some(message)).await
        }
    }
}

async fn show_stale(app: &App, login: &Login) -> Result<Response, AppError> {
    show(app, login, StatusCode::FORBIDDEN, Some(STALE.to_owned())).await
}

async fn show(
    app: &App,
    login: &Login,
    status: StatusCode,
    error: Option<String>,
) -> Result<Response, AppError> {
    let user = login.user();
    let mut servers = app.db.servers_of(user.id).await?;
    let default = servers.iter().position(|server| server.name.is_empty());
    let default = default.map(|place| servers.remove(place));
    let never = || Server::never_started(user, app.urls.server(&user.name, ""));
    let enabled = app.config.jupyter_hub.allow_named_servers;
    // Those from before they were disabled may still run.
    let named = (enabled || !servers.is_empty()).then(|| NamedServers {
        rows: servers
            .into_iter()
            .map(|server| rows::server(app, server))
            .collect(),
        enabled,
        limit: app.config.jupyter_hub.named_server_limit_per_user,
    });
    let shares = app.db.shares_with_user(user.id).await?;
    let page = HomePage {
        page: login.page(app),
        server: rows::server(app, default.unwrap_or_else(never)),
        has_options: !servers::options::form(app, user).await?.is_empty(),
        named,
        shared: shared(app, login, shares),
        services: services(app, login).await?,
        may_end: servers::may_end(app),
        empty_password: user.admin
            && user.password_is_empty
            && app.config.jupyter_hub.authenticator_class.is_native(),
        error,
    };
    Ok(templates::respond(status, &page))
}

/// Those that are to be shown, to who may open them (`get_accessible_services` of JupyterHub).
async fn services(app: &App, login: &Login) -> Result<Vec<(String, String)>, AppError> {
    let mut services = app.db.services().await?;
    services.retain(|service| {
        let target = Target::Service(&service.name);
        service.display && !service.url.is_empty() && login.scopes.holds("access:services", target)
    });
    let link = |service: Service| {
        let url = app.urls.public(&app.urls.service(&service.name));
        (service.name, url)
    };
    Ok(services.into_iter().map(link).collect())
}

/// Each server once, also where it is shared with the user and with groups of theirs.
fn shared(app: &App, login: &Login, mut shares: Vec<Share>) -> Vec<SharedRow> {
    shares.sort_by_key(|share| share.server.id);
    shares.dedup_by_key(|share| share.server.id);
    let row = |Share { server, .. }| {
        let page = |page| app.urls.page(page, &server.owner, &server.name);
        let target = Target::Server {
            user: &server.owner,
            server: &server.name,
        };
        SharedRow {
            may_open: login.scopes.holds("access:servers", target),
            may_start: login.scopes.holds("start:servers", target),
            server: ServerRow {
                spawn_url: page("spawn"),
                stop_url: page("stop"),
                pending_url: page("spawn-pending"),
                state: match server.ready {
                    true => ServerState::Running,
                    false => ServerState::Stopped,
                },
                owner: server.owner,
                name: server.name,
                server_url: app.urls.public(&server.prefix),
                display_name: String::new(),
                last_activity: None,
                failure: None,
                ending: None,
            },
        }
    };
    shares.into_iter().map(row).collect()
}
