//! Proxies apart, kept by the REST API of configurable-http-proxy.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tracing::{error, info};
use url::Url;

use super::{FoundRoute, Proxy, ProxyError, Route, plain};
use crate::auth::username::escape;
use crate::fetch;
use crate::time;

/// A proxy that takes longer counts as one that does not answer: nobody is to wait for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// A route is a few hundred bytes.
const LONGEST_ANSWER: usize = 64 << 20;
/// By this key JupyterHub knows its own routes.
const OWN: &str = "jupyterhub";

pub(super) struct Chp {
    place: Mutex<Place>,
    hub: Route,
    known: Mutex<Known>,
}

/// Where the proxies are asked, and by what.
#[derive(Clone)]
struct Place {
    /// Each with all addresses that its name has.
    apis: Vec<Url>,
    token: String,
}

/// What earlier answers of the proxies said.
#[derive(Default)]
struct Known {
    /// Those that did not answer last time.
    down: HashSet<SocketAddr>,
    /// Names that had no address last time.
    nameless: HashSet<String>,
    /// By proxy and prefix, the first time of activity that was read of a route: that of its addition, as it may be.
    first: HashMap<(SocketAddr, String), i64>,
    /// By prefix, the last activity after it.
    used: HashMap<String, i64>,
}

/// The routes of one proxy by their prefixes as [`plain`] writes them.
type Table = HashMap<String, FoundRoute>;

impl Chp {
    pub(super) fn new(apis: Vec<Url>, token: String, hub: Route) -> Self {
        Self {
            place: Mutex::new(Place { apis, token }),
            hub,
            known: Mutex::default(),
        }
    }

    fn place(&self) -> Place {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        place.clone()
    }

    /// Every proxy, with what it is called.
    async fn proxies(&self) -> Vec<(SocketAddr, Url)> {
        let resolve = self.place().apis.into_iter().map(|api| async move {
            let host = api.host_str().unwrap_or_default().trim_matches(['[', ']']);
            let port = api.port_or_known_default().unwrap_or(80);
            let found = timeout(PATIENCE, tokio::net::lookup_host((host, port))).await;
            let found: HashSet<SocketAddr> = match found {
                Ok(Ok(found)) => found.collect(),
                _ => HashSet::new(),
            };
            self.tell_of_name(host, found.is_empty());
            let named = |address| (address, api.clone());
            found.into_iter().map(named).collect::<Vec<_>>()
        });
        join_all(resolve).await.into_iter().flatten().collect()
    }

    fn tell_of_name(&self, host: &str, nameless: bool) {
        let mut known = self.known();
        if !nameless {
            known.nameless.remove(host);
        } else if known.nameless.insert(host.to_owned()) {
            error!(host, "The name of the proxy has no address; trying again");
        }
    }

    /// Asks all that answered last time, at once; what fails is told here and is for the next check to put right.
    async fn tell_all(&self, method: Method, prefix: &str, body: Bytes) {
        let mut proxies = self.proxies().await;
        let up = |proxy: &(SocketAddr, _)| !self.known().down.contains(&proxy.0);
        proxies.retain(up);
        let tell = proxies.into_iter().map(|(address, api)| {
            let (method, body) = (method.clone(), body.clone());
            async move {
                let told = self.ask((address, &api), method, prefix, body).await;
                self.known().first.remove(&(address, plain(prefix)));
                self.note(address, told.map(drop));
            }
        });
        join_all(tell).await;
    }

    async fn ask(
        &self,
        (address, api): (SocketAddr, &Url),
        method: Method,
        prefix: &str,
        body: Bytes,
    ) -> Result<Bytes, fetch::Error> {
        let deletes = method == Method::DELETE;
        let host = api.authority();
        let path = format!("/api/routes{}", prefix.trim_end_matches('/'));
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(
                header::AUTHORIZATION,
                format!("token {}", self.place().token),
            )
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let asked = timeout(PATIENCE, fetch::send(address, request, LONGEST_ANSWER)).await;
        let answer = asked.map_err(|_| "it does not answer in time")??;
        match answer.status() {
            status if status.is_success() => Ok(answer.into_body()),
            // What is to go is gone.
            StatusCode::NOT_FOUND if deletes => Ok(Bytes::new()),
            StatusCode::FORBIDDEN => {
                Err("it does not take the token (ConfigurableHTTPProxy.auth_token)".into())
            }
            status => Err(format!("it answers {status}").into()),
        }
    }

    /// Says once that a proxy fails, and once that it works again.
    fn note(&self, address: SocketAddr, told: Result<(), fetch::Error>) {
        match told {
            Ok(()) => {
                if self.known().down.remove(&address) {
                    info!(%address, "The proxy at {address} answers again");
                }
            }
            Err(cause) => {
                if self.known().down.insert(address) {
                    error!(%address, %cause, "The proxy at {address} cannot be used; trying again");
                }
            }
        }
    }

    async fn table_of(&self, address: SocketAddr, api: Url) -> Option<Table> {
        let read = self
            .ask((address, &api), Method::GET, "/", Bytes::new())
            .await;
        let read = read.and_then(|body| Ok(serde_json::from_slice(&body)?));
        let routes: Map<String, Value> = match read {
            Ok(routes) => routes,
            Err(cause) => {
                self.note(address, Err(cause));
                return None;
            }
        };
        self.note(address, Ok(()));
        let table: Table = routes
            .into_iter()
            // Proxies tell the path decoded.
            .filter_map(|(path, model)| {
                let found = found(&path, model)?;
                Some((path.trim_end_matches('/').to_owned(), found))
            })
            .collect();
        self.learn(address, &table);
        Some(table)
    }

    fn learn(&self, address: SocketAddr, table: &Table) {
        let mut known = self.known();
        let Known { first, used, .. } = &mut *known;
        first.retain(|(of, prefix), _| *of != address || table.contains_key(prefix));
        for (prefix, found) in table {
            let Some(last) = found.last_activity else {
                continue;
            };
            let first = first.entry((address, prefix.clone())).or_insert(last);
            if last > *first {
                let used = used.entry(prefix.clone()).or_insert(last);
                *used = last.max(*used);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Proxy for Chp {
    async fn add_route(&self, route: Route) -> Result<(), ProxyError> {
        let mut model = route.data;
        let target = route.target.origin().ascii_serialization();
        model.insert(String::from("target"), json!(target));
        model.insert(OWN.to_owned(), json!(true));
        let body = Value::Object(model).to_string().into();
        self.tell_all(Method::POST, &route.prefix, body).await;
        Ok(())
    }

    async fn delete_route(&self, prefix: &str) -> Result<(), ProxyError> {
        self.tell_all(Method::DELETE, prefix, Bytes::new()).await;
        self.known().used.remove(&plain(prefix));
        Ok(())
    }

    async fn get_all_routes(&self) -> Result<Vec<FoundRoute>, ProxyError> {
        let proxies = self.proxies().await;
        let asked: HashSet<SocketAddr> = proxies.iter().map(|(address, _)| *address).collect();
        let read = proxies
            .into_iter()
            .map(|(address, api)| self.table_of(address, api));
        let tables: Vec<Table> = join_all(read).await.into_iter().flatten().collect();
        {
            let mut known = self.known();
            known.down.retain(|address| asked.contains(address));
            known.first.retain(|(of, _), _| asked.contains(of));
        }
        if tables.is_empty() {
            return Err(ProxyError::Silent);
        }
        Ok(merge(tables))
    }

    fn last_used(&self, prefix: &str) -> Option<i64> {
        self.known().used.get(&plain(prefix)).copied()
    }

    fn hub_route(&self) -> Option<Route> {
        Some(self.hub.clone())
    }

    fn replace(&self, api_url: Option<Url>, token: Option<String>) -> Result<(), ProxyError> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(api_url) = api_url {
            place.apis = vec![api_url];
        }
        if let Some(token) = token {
            place.token = token;
        }
        Ok(())
    }
}

/// A route of the Hub's, from what a proxy says.
fn found(path: &str, model: Value) -> Option<FoundRoute> {
    let Value::Object(mut data) = model else {
        return None;
    };
    data.remove(OWN)?;
    let target = Url::parse(data.remove("target")?.as_str()?).ok()?;
    let last_activity = data.remove("last_activity");
    let last_activity = last_activity.as_ref().and_then(Value::as_str);
    // Proxies tell the path decoded.
    let names: Vec<String> = path.trim_matches('/').split('/').map(escape).collect();
    let prefix = match names.join("/") {
        root if root.is_empty() => String::from("/"),
        path => format!("/{path}/"),
    };
    Some(FoundRoute {
        route: Route {
            prefix,
            target,
            data,
        },
        last_activity: last_activity.and_then(time::parse),
        everywhere: true,
    })
}

fn merge(tables: Vec<Table>) -> Vec<FoundRoute> {
    let mut all = Table::new();
    for (prefix, found) in tables.iter().flatten() {
        all.entry(prefix.clone())
            .and_modify(|known| {
                known.everywhere &= known.route.target == found.route.target;
                known.last_activity = known.last_activity.max(found.last_activity);
            })
            .or_insert_with(|| found.clone());
    }
    let mut all: Vec<_> = all.into_iter().collect();
    for (prefix, found) in &mut all {
        found.everywhere &= tables.iter().all(|table| table.contains_key(prefix));
    }
    all.into_iter().map(|(_, found)| found).collect()
}
