//! Routes to servers and services: added and taken out with each server, and held against the database, which knows of the servers of
//! all Hubs.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use http::{Request, header};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde_json::{Map, json};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};
use url::Url;

use crate::app::App;
use crate::db::DbError;
use crate::db::routes::Routed;
use crate::db::servers::{Server, State};
use crate::db::services::Service;
use crate::fetch;
use crate::proxy::{FoundRoute, ProxyError, Route, plain};

/// How long another Hub may take to say that it lives, and how much it may say.
const ANSWER: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("could not use the database")]
    Db(#[from] DbError),
    #[error("could not bring the proxy up to date")]
    Proxy(#[from] ProxyError),
}

/// Leads requests for a server to `url`.
pub(super) async fn open(app: &App, server: &Server, url: &Url) -> Result<(), ProxyError> {
    let route = route(&server.user, &server.name, &server.prefix, url.clone());
    let begun = Instant::now();
    let added = app.routing.proxy.add_route(route).await;
    app.metrics.added_route(added.is_ok(), begun.elapsed());
    added
}

/// Leads requests for a server nowhere any more.
pub(super) async fn close(app: &App, prefix: &str) {
    let begun = Instant::now();
    let deleted = app.routing.proxy.delete_route(prefix).await;
    app.metrics.deleted_route(deleted.is_ok(), begun.elapsed());
    if let Err(error) = deleted {
        let cause = crate::chain::chain(&error);
        error!(
            prefix,
            cause, "Could not take out the route of a server; the next check does"
        );
    }
}

/// Checks every `JupyterHub.proxy_check_interval`, for ever.
pub async fn keep_routes(app: App) {
    let mut ticks = interval(app.config.jupyter_hub.proxy_check_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let checked = check_routes(&app).await;
        if let Err(error) = &checked
            && !failing
        {
            let cause = crate::chain::chain(error);
            error!(cause, "Could not check the routes; trying again");
        }
        failing = checked.is_err();
    }
}

/// Makes the proxy's routes those of the services, and of the servers that are ready, whichever Hub has started or stopped them.
pub async fn check_routes(app: &App) -> Result<(), CheckError> {
    let _alone = app.routing.checking.lock().await;
    let begun = Instant::now();
    let checked = check(app).await;
    app.metrics.checked_routes(begun.elapsed());
    checked
}

async fn check(app: &App) -> Result<(), CheckError> {
    // Before the database: a route of a server that starts is added while that says so, and found there below.
    let begun = Instant::now();
    let found = app.routing.proxy.get_all_routes().await;
    app.metrics.asked_for_routes(begun.elapsed());
    let found = found?;
    let servers = app.db.routed_servers().await?;
    let found: HashMap<String, _> = found
        .into_iter()
        .map(|found| (plain(&found.route.prefix), found))
        .collect();
    let mut good = HashSet::new();
    if let Some(hub) = app.routing.proxy.hub_route() {
        let prefix = plain(&hub.prefix);
        if !leads_to_another_hub(app, found.get(&prefix), &hub.target).await
            && !leads(found.get(&prefix), &hub.prefix, &hub.target)
        {
            app.routing.proxy.add_route(hub).await?;
        }
        good.insert(prefix);
    }
    for server in &servers {
        let prefix = plain(&server.prefix);
        if let Some(url) = address(server)
            && !leads(found.get(&prefix), &server.prefix, &url)
        {
            add(app, server, url).await?;
        }
        good.insert(prefix);
    }
    for service in &app.db.services().await? {
        let Some(route) = of_service(app, service) else {
            continue;
        };
        let prefix = plain(&route.prefix);
        if !leads(found.get(&prefix), &route.prefix, &route.target) {
            app.routing.proxy.add_route(route).await?;
        }
        good.insert(prefix);
    }
    for (plain, surplus) in found {
        if !good.contains(&plain) {
            let prefix = &surplus.route.prefix;
            info!(prefix, "A route of no server is taken out: {prefix}");
            app.routing.proxy.delete_route(prefix).await?;
        }
    }
    Ok(())
}

/// Whether every proxy leads requests without another route to a Hub that is not this one and answers: of several on one
/// database, any will do.
async fn leads_to_another_hub(app: &App, known: Option<&FoundRoute>, own: &Url) -> bool {
    let Some(known) = known.filter(|known| known.everywhere) else {
        return false;
    };
    let target = &known.route.target;
    let (Some(host), Some(port)) = (target.host_str(), target.port_or_known_default()) else {
        return false;
    };
    if target.origin() == own.origin() {
        return false;
    }
    let health = Request::get(format!("{}health", app.urls.hub))
        .header(header::HOST, host)
        .body(Full::default());
    let Ok(health) = health else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    let answer = timeout(ANSWER, fetch::send((host, port), health, LONGEST_ANSWER)).await;
    answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success()))
}

/// Whether every proxy leads the prefix to this target; says so where it does not.
fn leads(known: Option<&FoundRoute>, prefix: &str, target: &Url) -> bool {
    let leads = known
        .is_some_and(|known| known.everywhere && known.route.target.origin() == target.origin());
    if !leads {
        let (target, missing) = (target.as_str(), known.is_none());
        info!(
            prefix,
            target, missing, "A route is brought up to date: {prefix} to {target}"
        );
    }
    leads
}

/// For a path without a route: adds that of its server, where another Hub has made it ready since the last check. `None`
/// for a path of no server.
pub fn find_late(app: &App, path: &str) -> Option<impl Future<Output = bool> + use<>> {
    let path = app.urls.path_of(path)?;
    let rest = path.strip_prefix(&app.urls.base)?.strip_prefix("user/")?;
    let mut names = rest
        .split('/')
        .map(|name| percent_decode_str(name).decode_utf8().ok());
    let user = names.next()??;
    let server = names.next().flatten().unwrap_or_default();
    let (own, named) = (app.urls.server(&user, ""), app.urls.server(&user, &server));
    let app = app.clone();
    Some(async move {
        let found = async {
            let servers = app.db.ready_servers_at(&own, &named).await?;
            for server in &servers {
                if let Some(url) = address(server) {
                    add(&app, server, url).await?;
                }
            }
            Ok::<_, CheckError>(!servers.is_empty())
        };
        found.await.unwrap_or_else(|error| {
            let cause = crate::chain::chain(&error);
            warn!(cause, "Could not look for a route");
            false
        })
    })
}

/// Adds a route as the database has it, unless that changes meanwhile: who stops a server takes its route out before.
async fn add(app: &App, server: &Routed, url: Url) -> Result<(), CheckError> {
    let route = route(&server.user, &server.name, &server.prefix, url);
    app.routing.proxy.add_route(route).await?;
    let now = app.db.server_by_id(server.id).await?;
    let holds = now.is_some_and(|now| {
        now.state == State::Ready && now.start_id == server.start_id && now.url == server.url
    });
    if !holds {
        app.routing.proxy.delete_route(&server.prefix).await?;
    }
    Ok(())
}

fn address(server: &Routed) -> Option<Url> {
    let url = server.url.as_deref().filter(|_| server.ready)?;
    Url::parse(url).ok()
}

/// None for a service that is nowhere, or elsewhere.
fn of_service(app: &App, service: &Service) -> Option<Route> {
    let url = Url::parse(&service.url).ok()?;
    Some(Route {
        prefix: app.urls.service(&service.name),
        target: Url::parse(&url.origin().ascii_serialization()).ok()?,
        data: Map::from_iter([(String::from("service"), json!(service.name))]),
    })
}

fn route(user: &str, server: &str, prefix: &str, target: Url) -> Route {
    let data = [("user", user), ("server_name", server)];
    let data = data.map(|(key, value)| (key.to_owned(), json!(value)));
    Route {
        prefix: prefix.to_owned(),
        target,
        data: Map::from_iter(data),
    }
}
