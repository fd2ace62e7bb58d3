//! The home page, and where a user lands without asking for a page.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::see_other;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::username::escape;
use crate::db::servers::State as RunState;
use crate::db::users::User;
use crate::error::AppError;
use crate::servers;
use crate::templates::{self, HomePage, ServerState};
use crate::time;

/// GET /hub/
pub async fn root(State(app): State<App>, login: Login) -> Result<Response, AppError> {
    Ok(see_other(&after_login(&app, login.user()).await?))
}

/// GET /hub/home
pub async fn home(State(app): State<App>, login: Login) -> Result<Response, AppError> {
    let user = login.user();
    let server = app.db.server(&user.name, "").await?;
    let state = match server
        .as_ref()
        .map_or(RunState::Stopped, |server| server.state)
    {
        RunState::Stopped => ServerState::Stopped,
        RunState::Pending => ServerState::Starting,
        RunState::Ready => ServerState::Running,
        RunState::Stopping => ServerState::Stopping,
    };
    let page = HomePage {
        page: login.page(&app),
        state,
        server_url: app.urls.server(&user.name, ""),
        spawn_url: app.urls.page("spawn", &user.name, ""),
        stop_url: app.urls.page("stop", &user.name, ""),
        pending_url: app.urls.page("spawn-pending", &user.name, ""),
        has_options: !servers::options::form(&app, user).await?.is_empty(),
        last_activity: server
            .and_then(|server| server.last_activity)
            .map(time::human),
        empty_password: user.admin && user.password_is_empty,
    };
    Ok(templates::respond(StatusCode::OK, &page))
}

/// `JupyterHub.default_url`; a running server, if `redirect_to_server` says so; the home page. A server is never
/// started by a link alone: starting needs a form of the Hub.
pub async fn after_login(app: &App, user: &User) -> Result<String, AppError> {
    let hub = &app.config.jupyter_hub;
    if let Some(url) = &hub.default_url {
        return Ok(url.replace("{username}", &escape(&user.name)));
    }
    let running = app
        .db
        .server(&user.name, "")
        .await?
        .is_some_and(|server| server.state == RunState::Ready);
    if hub.redirect_to_server && running {
        return Ok(app.urls.server(&user.name, ""));
    }
    Ok(app.urls.home())
}
