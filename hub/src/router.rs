//! Every URL of the Hub, one line each; no logic.

use std::sync::Arc;

use aide::axum::ApiRouter;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{get, post};

use crate::api;
use crate::app::App;
use crate::middleware::{Policies, around};
use crate::pages::{
    accept_share, admin, errors, home, login, oauth, password, signup, spawn, token, user,
};
use crate::peer::Client;

pub fn router(app: App) -> Router {
    let api_prefix = format!("{}api", app.urls.hub);
    let hub = Router::new()
        .route("/", get(home::root))
        .route("/login", get(login::form).post(login::log_in))
        .route("/logout", get(login::log_out))
        .route("/signup", get(signup::form).post(signup::sign_up))
        .route("/oauth_login", get(oauth::begin))
        .route("/oauth_callback", get(oauth::finish))
        .route("/home", get(home::home))
        .route("/home/servers", post(home::add))
        .route("/home/servers/{server}", post(home::change))
        .route("/home/servers/{server}/delete", post(home::delete))
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
        .route("/keep-running/{user}", post(home::keep_running))
        .route("/keep-running/{user}/{server}", post(home::keep_running))
        .nest("/admin", admin())
        .route("/token", get(token::list).post(token::create))
        .route("/token/revoke", post(token::revoke))
        .route(
            "/change-password",
            get(password::form).post(password::change),
        )
        .route(
            "/accept-share",
            get(accept_share::form).post(accept_share::accept),
        )
        .route("/user/{*path}", get(user::user))
        .route("/user-redirect/{*path}", get(user::redirect))
        .route("/error/{code}", get(errors::by_code))
        .route("/metrics", get(api::metrics::metrics))
        .route("/health", get(errors::health))
        .route("/ready", get(errors::ready))
        .route("/logo", get(errors::logo))
        .route("/static/{*name}", get(errors::asset))
        .route("/security/csp-report", post(errors::csp_report))
        // idle-culler asks with a slash at the end.
        .route("/api/", get(api::hub::version))
        // Browsers and single-user servers speak OAuth here, and Prometheus its own format.
        .route(
            "/api/oauth2/authorize",
            get(api::oauth::authorize).post(api::oauth::confirmed),
        )
        .route("/api/oauth2/token", post(api::oauth::token))
        .route("/api/metrics", get(api::metrics::metrics))
        .nest("/api", api::openapi::documented(api(), &api_prefix))
        .fallback(errors::not_found)
        .method_not_allowed_fallback(errors::method_not_allowed);
    let policies = Arc::new(Policies::of(&app));
    let around = move |State(app): State<App>, client: Client, request: Request, next: Next| {
        around(app, policies.clone(), client, request, next)
    };
    let prefix = app.urls.hub.trim_end_matches('/').to_owned();
    Router::new()
        .nest(&prefix, hub)
        .route(&app.urls.hub, get(home::root))
        .fallback(user::outside)
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app)
}

/// The admin page.
fn admin() -> Router<App> {
    use admin::{groups, servers, users};
    let start = || post(servers::start);
    Router::new()
        .route("/", get(users::list))
        .route("/users", post(users::add))
        .route("/users/{user}", get(users::one).post(users::change))
        .route("/users/{user}/delete", post(users::delete))
        .route("/start/{user}", start())
        .route("/start/{user}/{server}", start())
        .route("/delete-server/{user}/{server}", post(servers::delete))
        .route("/start-all", post(servers::start_all))
        .route("/stop-all", post(servers::stop_all))
        .route("/servers", get(servers::list))
        .route("/groups", get(groups::list).post(groups::add))
        .route("/groups/{group}", get(groups::one).post(groups::change))
        .route("/groups/{group}/delete", post(groups::delete))
        .route("/hub", get(admin::hub))
        .route("/shutdown", post(admin::shut_down))
}

/// Paths of JupyterHub's REST API.
fn api() -> ApiRouter<App> {
    use aide::axum::routing::{get, post, put};
    use api::{groups, hub, services, tokens, users};
    let server = || {
        get(api::servers::get)
            .post(api::servers::start)
            .put(api::servers::create)
            .patch(api::servers::change)
            .delete(api::servers::stop)
    };
    let user = get(users::get)
        .post(users::create)
        .patch(users::change)
        .delete(users::delete);
    let group = get(groups::get).post(groups::create).delete(groups::delete);
    let group_users = post(groups::add_users).delete(groups::remove_users);
    let service = get(services::get)
        .post(services::create)
        .delete(services::delete);
    let proxy = get(hub::routes)
        .post(hub::check_routes)
        .patch(hub::change_proxy);
    ApiRouter::new()
        .api_route("/", get(hub::version))
        .api_route("/audit", get(api::audit::audit))
        .api_route("/usage", get(api::audit::usage))
        .api_route("/info", get(hub::info))
        .api_route("/proxy", proxy)
        .api_route("/shutdown", post(hub::shut_down))
        .api_route("/user", get(users::whoami))
        .api_route("/users", get(users::list).post(users::create_many))
        .api_route("/users/{user}", user)
        .api_route("/users/{user}/activity", post(api::activity::post))
        .api_route("/users/{user}/admin-access", post(users::admin_access))
        .api_route("/authorizations/token/{token}", get(users::owner_of_token))
        .api_route("/users/{user}/server", server())
        .api_route("/users/{user}/server/progress", get(api::servers::progress))
        .api_route("/users/{user}/servers/", server())
        .api_route("/users/{user}/servers/{server}", server())
        .api_route(
            "/users/{user}/servers/{server}/progress",
            get(api::servers::progress),
        )
        .api_route(
            "/users/{user}/tokens",
            get(tokens::list).post(tokens::create),
        )
        .api_route(
            "/users/{user}/tokens/{id}",
            get(tokens::get).delete(tokens::revoke),
        )
        .api_route("/groups", get(groups::list).post(groups::create_many))
        .api_route("/groups/{group}", group)
        .api_route("/groups/{group}/users", group_users)
        .api_route("/groups/{group}/properties", put(groups::set_properties))
        .api_route("/services", get(services::list))
        .api_route("/services/{service}", service)
        .merge(shares())
}

/// Of it, what is about shares.
fn shares() -> ApiRouter<App> {
    use aide::axum::routing::get;
    use api::{share_codes, shared, shares};
    let with_user = || get(shared::one_with_user).delete(shared::leave);
    let with_group = || get(shared::one_with_group).delete(shared::leave_as_group);
    let of_server = || {
        get(shares::of_server)
            .post(shares::give)
            .patch(shares::take_back)
            .delete(shares::take_all_back)
    };
    let codes = || {
        get(share_codes::of_server)
            .post(share_codes::create)
            .delete(share_codes::delete)
    };
    ApiRouter::new()
        .api_route("/users/{user}/shared", get(shared::with_user))
        .api_route("/users/{user}/shared/{owner}/", with_user())
        .api_route("/users/{user}/shared/{owner}/{server}", with_user())
        .api_route("/groups/{group}/shared", get(shared::with_group))
        .api_route("/groups/{group}/shared/{owner}/", with_group())
        .api_route("/groups/{group}/shared/{owner}/{server}", with_group())
        .api_route("/shares/{user}", get(shares::of_owner))
        .api_route("/shares/{user}/", of_server())
        .api_route("/shares/{user}/{server}", of_server())
        .api_route("/share-codes/{user}", get(share_codes::of_owner))
        .api_route("/share-codes/{user}/", codes())
        .api_route("/share-codes/{user}/{server}", codes())
}
