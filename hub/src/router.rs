//! Every URL of the Hub, one line each; no logic.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::api;
use crate::app::App;
use crate::error;
use crate::middleware;
use crate::pages::{errors, home, login, password, spawn, token, user};

pub fn router(app: App) -> Router {
    let hub = Router::new()
        .route("/", get(home::root))
        .route("/login", get(login::form).post(login::log_in))
        .route("/logout", get(login::log_out))
        .route("/home", get(home::home))
        .route("/spawn", get(spawn::form).post(spawn::start))
        .route("/spawn/{user}", get(spawn::form).post(spawn::start))
        .route(
            "/spawn/{user}/{server}",
            get(spawn::form).post(spawn::start),
        )
        .route("/spawn-pending/{user}", get(spawn::pending))
        .route("/spawn-pending/{user}/{server}", get(spawn::pending))
        .route("/stop/{user}", post(spawn::stop))
        .route("/stop/{user}/{server}", post(spawn::stop))
        .route("/token", get(token::list).post(token::create))
        .route("/token/revoke", post(token::revoke))
        .route(
            "/change-password",
            get(password::form).post(password::change),
        )
        .route("/user/{*path}", get(user::user))
        .route("/user-redirect/{*path}", get(user::redirect))
        .route("/error/{code}", get(errors::by_code))
        .route("/health", get(errors::health))
        .route("/ready", get(errors::ready))
        .route("/logo", get(errors::logo))
        .route("/static/{*name}", get(errors::asset))
        .route("/security/csp-report", post(errors::csp_report))
        // idle-culler asks with a slash at the end.
        .route("/api/", get(api::root::version))
        .nest("/api", api())
        .fallback(errors::not_found)
        .method_not_allowed_fallback(errors::method_not_allowed);
    let prefix = app.urls.hub.trim_end_matches('/').to_owned();
    Router::new()
        .nest(&prefix, hub)
        .route(&app.urls.hub, get(home::root))
        .fallback(user::outside)
        // From the inside out: other names are turned away, errors get their body, then every answer its headers, then it is logged.
        .layer(from_fn_with_state(app.clone(), middleware::own_host))
        .layer(from_fn_with_state(app.clone(), error::render))
        .layer(from_fn_with_state(app.clone(), middleware::headers))
        .layer(from_fn_with_state(app.clone(), middleware::log))
        .with_state(app)
}

/// Paths of JupyterHub's REST API.
fn api() -> Router<App> {
    Router::new()
        .route("/", get(api::root::version))
        .route("/user", get(api::users::whoami))
        .route(
            "/users/{user}",
            get(api::users::get).post(api::users::create),
        )
        .route("/users/{user}/activity", post(api::activity::post))
        .route(
            "/users/{user}/server",
            get(api::servers::get)
                .post(api::servers::start)
                .delete(api::servers::stop),
        )
        .route("/users/{user}/server/progress", get(api::servers::progress))
        .route(
            "/users/{user}/servers/",
            get(api::servers::get)
                .post(api::servers::start)
                .delete(api::servers::stop),
        )
        .route(
            "/users/{user}/servers/{server}",
            get(api::servers::get)
                .post(api::servers::start)
                .delete(api::servers::stop),
        )
        .route(
            "/users/{user}/servers/{server}/progress",
            get(api::servers::progress),
        )
        .route(
            "/users/{user}/tokens",
            get(api::tokens::list).post(api::tokens::create),
        )
        .route(
            "/users/{user}/tokens/{id}",
            get(api::tokens::get).delete(api::tokens::revoke),
        )
        .route(
            "/oauth2/authorize",
            get(api::oauth::authorize).post(api::oauth::confirmed),
        )
        .route("/oauth2/token", post(api::oauth::token))
}
