//! Every address, one line each; no logic.

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::{Method, Uri};

use crate::app::App;
use crate::error::AppError;
use crate::{api, assets, login, middleware, pages};

/// The largest form or object that is taken; Kubernetes keeps none above 1.5 MiB.
const LARGEST: usize = 2 << 20;

pub fn router(app: App) -> Router {
    let base = app.settings.base.clone();
    let at = |path: &str| format!("{base}{path}");
    let job = |path: &str| format!("{base}tfjobs/ui/{{kind}}/{{namespace}}/{{name}}/{path}");
    let of_api = |path: &str| format!("{base}tfjobs/api/{path}");
    Router::new()
        .route(&at(""), get(pages::overview::show))
        .route(&at("login"), get(login::begin))
        .route(&at("oauth_callback"), get(login::finish))
        .route(&at("logout"), post(login::end))
        .route(&at("healthz"), get(async || "ok\n"))
        .route(&at("static/{name}"), get(assets::serve))
        .route(&at("to/{*path}"), get(pages::to_hub))
        .route(&at("tfjobs/ui/"), get(pages::list::show))
        .route(
            &at("tfjobs/ui/new"),
            get(pages::create::show).post(pages::create::send),
        )
        .route(
            &at("tfjobs/ui/new/yaml"),
            get(pages::create::show_yaml).post(pages::create::send_yaml),
        )
        .route(&job(""), get(pages::detail::show))
        .route(&job("yaml"), get(pages::edit::show).post(pages::edit::send))
        .route(&job("delete"), post(pages::delete::send))
        .route(&job("logs/{pod}"), get(pages::logs::show))
        .route(&job("logs/{pod}/stream"), get(pages::logs::stream))
        .route(&at("usage/"), get(pages::usage::show))
        .route(&at("training/"), get(pages::training::list))
        .route(&at("training/{id}/"), get(pages::training::show))
        .route(&at("training/{id}/model"), get(pages::training::model))
        .route(&at("training/{id}/logs/{rank}"), get(pages::training::log))
        .route(&at("training/{id}/{action}"), post(pages::training::act))
        .route(&of_api("namespace"), get(api::namespaces))
        .route(&of_api("logs/{namespace}/{pod}"), get(api::log))
        .route(&of_api("{kind}"), get(api::list_all).post(api::create))
        .route(&of_api("{kind}/{namespace}"), get(api::list))
        .route(
            &of_api("{kind}/{namespace}/{name}"),
            get(api::detail).delete(api::delete),
        )
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(from_fn_with_state(app.clone(), middleware::render))
        .layer(from_fn(carrel_service::read_out))
        .layer(from_fn(middleware::headers))
        .layer(from_fn(middleware::log))
        .with_state(app)
}

/// The walkthrough's addresses lead to where they are below the base.
async fn elsewhere(State(app): State<App>, method: Method, uri: Uri) -> Response {
    let base = &app.settings.base;
    let path = uri.path();
    if method == Method::GET && path == "/healthz" {
        return "ok\n".into_response();
    }
    let known = ["/", "/tfjobs", "/tfjobs/", "/tfjobs/ui", "/tfjobs/ui/"];
    let inner = path.strip_prefix(base.as_str());
    let outside = inner.is_none() && (known.contains(&path) || path.starts_with("/tfjobs/ui/"));
    if method == Method::GET && outside && base != "/" {
        return Redirect::to(&format!("{base}{}", jobs(path.trim_start_matches('/'))))
            .into_response();
    }
    match inner {
        Some("tfjobs" | "tfjobs/" | "tfjobs/ui") if method == Method::GET => {
            Redirect::to(&format!("{base}tfjobs/ui/")).into_response()
        }
        None if format!("{path}/") == *base => Redirect::to(base).into_response(),
        _ => AppError::not_found("There is no such page.").into_response(),
    }
}

/// What was meant, where the end is missing.
fn jobs(path: &str) -> &str {
    match path {
        "tfjobs" | "tfjobs/" | "tfjobs/ui" => "tfjobs/ui/",
        path => path,
    }
}
