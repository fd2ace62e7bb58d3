//! The Hub itself: `/hub/api`, `/info`, `/proxy`, `/shutdown`.

use std::fmt;

use axum::extract::State;
use http::header;
use schemars_of_aide::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::info;
use url::Url;

use super::answer::{Answer, Done, WithHeaders};
use super::body::Body;
use super::listing::Wanted;
use super::shapes::{self, ListedMap};
use crate::access::permit::{Hub, ReadHub, ShutDown, UseProxy};
use crate::app::{App, Ending, JUPYTERHUB_VERSION};
use crate::auth::caller::Caller;
use crate::error::AppError;
use crate::proxy::FoundRoute;
use crate::servers;
use crate::time::iso;

/// POST /shutdown
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide")]
pub struct Shutdown {
    /// The proxy is a part of the Hub and ends with it.
    #[expect(dead_code, reason = "read for its type")]
    proxy: Option<bool>,
    servers: Option<bool>,
}

/// PATCH /proxy
#[derive(Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide")]
pub struct MovedProxy {
    api_url: Option<String>,
    auth_token: Option<String>,
}

impl fmt::Debug for MovedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MovedProxy")
    }
}

/// GET /: the first call of every single-user server, without authentication.
pub async fn version() -> WithHeaders<Answer<shapes::Version>> {
    let origin = [(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    WithHeaders::new(
        origin,
        Answer::new(json!({ "version": JUPYTERHUB_VERSION })),
    )
}

/// GET /info: under JupyterHub's names of classes, by which clients tell what they may expect.
pub async fn info(
    State(app): State<App>,
    caller: Caller,
) -> Result<Answer<shapes::Information>, AppError> {
    caller.permit(ReadHub(Hub))?;
    let version = env!("CARGO_PKG_VERSION");
    let hub = &app.config.jupyter_hub;
    let (spawner, authenticator) = (hub.spawner_class.class(), hub.authenticator_class.class());
    Ok(Answer::new(json!({
        "version": JUPYTERHUB_VERSION,
        "python": format!("none: Carrel {version}"),
        "sys_executable": "carrel-hub",
        "spawner": { "class": spawner, "version": version },
        "authenticator": { "class": authenticator, "version": version },
    })))
}

/// GET /proxy: the routes, by their prefix.
pub async fn routes(
    State(app): State<App>,
    wanted: Wanted,
    caller: Caller,
) -> Result<Answer<ListedMap<shapes::Routes>>, AppError> {
    caller.permit(UseProxy(Hub))?;
    // The first is the Hub's own.
    let found = app.routing.proxy.get_all_routes().await;
    let mut found = found.map_err(|error| AppError::internal("read the routes", &error))?;
    found.retain(|found| !found.route.data.contains_key("hub"));
    found.sort_by(|a, b| a.route.prefix.cmp(&b.route.prefix));
    let all = std::iter::once(None).chain(found.into_iter().map(Some));
    let (routes, total) = wanted.cut(all.collect());
    let mut by_prefix = Map::new();
    for route in routes {
        let (prefix, model) = match route {
            None => (own_routespec(&app).to_owned(), own_route(&app)),
            Some(found) => {
                let model = route_model(&app, found);
                let routespec = model["routespec"].as_str().unwrap_or_default();
                (routespec.to_owned(), model)
            }
        };
        by_prefix.insert(prefix, model);
    }
    Ok(Answer::new(wanted.answer(Value::Object(by_prefix), total)))
}

fn own_route(app: &App) -> Value {
    json!({
        "routespec": own_routespec(app),
        "target": app.urls.api.trim_end_matches("/hub/api"),
        "data": { "hub": true },
    })
}

/// With hosts of their own for servers, the Hub gets the requests of all others.
fn own_routespec(app: &App) -> &str {
    match app.urls.subdomains {
        Some(_) => "/",
        None => &app.urls.base,
    }
}

/// A host, if there is one, stands before the path without a slash (jupyterhub/proxy.py).
fn route_model(app: &App, found: FoundRoute) -> Value {
    let prefix = found.route.prefix;
    let host = app.urls.host_of(&prefix).unwrap_or_default();
    let mut data = found.route.data;
    data.insert(
        String::from("last_activity"),
        json!(found.last_activity.map(iso)),
    );
    json!({ "routespec": format!("{host}{prefix}"), "target": found.route.target, "data": data })
}

/// POST /proxy: brings the routes up to date.
pub async fn check_routes(State(app): State<App>, caller: Caller) -> Result<Done<200>, AppError> {
    caller.permit(UseProxy(Hub))?;
    check(&app).await
}

async fn check(app: &App) -> Result<Done<200>, AppError> {
    let checked = servers::check_routes(app).await;
    checked.map_err(|error| AppError::internal("check the routes", &error))?;
    Ok(Done)
}

/// PATCH /proxy: a proxy apart is elsewhere now, or takes another token. It holds for this Hub, until it ends: the
/// configuration is to say it too (`ConfigurableHTTPProxy`).
pub async fn change_proxy(
    State(app): State<App>,
    caller: Caller,
    body: Body<MovedProxy>,
) -> Result<Done<200>, AppError> {
    caller.permit(UseProxy(Hub))?;
    let moved = body.object()?;
    let moved = moved.ok_or_else(|| AppError::bad_request("need JSON body"))?;
    let api_url = moved.api_url.map(|url| {
        let plain = |url: &Url| url.scheme() == "http" && url.path() == "/" && url.has_host();
        let read = Url::parse(&url).ok().filter(plain);
        read.ok_or_else(|| AppError::bad_request("api_url has the form http://host:port"))
    });
    let proxy = &app.routing.proxy;
    let replaced = proxy.replace(api_url.transpose()?, moved.auth_token);
    replaced.map_err(|error| AppError::bad_request(error.to_string()))?;
    info!(
        by = caller.principal.name(),
        "The Hub is told of another proxy"
    );
    check(&app).await
}

/// POST /shutdown
pub async fn shut_down(
    State(app): State<App>,
    caller: Caller,
    body: Body<Shutdown>,
) -> Result<Answer<shapes::Message, 202>, AppError> {
    caller.permit(ShutDown(Hub))?;
    let wanted = body.object_or_default()?;
    let servers = wanted.servers;
    info!(
        by = caller.principal.name(),
        servers, "The Hub is told to end"
    );
    app.end(Ending { servers });
    Ok(Answer::new(json!({ "message": "Shutting down Hub" })))
}
