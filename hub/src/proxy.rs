//! What leads requests to servers: a table in this process, or a proxy apart. Knows no server's life.

mod by_host;
mod chp;
mod open;

use carrel_proxy::{NewRoute, RouteError, Routes};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

pub use open::{OpenError, open};

/// A prefix and where it leads.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `/user/alice/`
    pub prefix: String,
    pub target: Url,
    /// Whose it is, as JupyterHub says it: `user` and `server_name`.
    pub data: Map<String, Value>,
}

/// A route as the proxy has it.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRoute {
    pub route: Route,
    /// Milliseconds since 1970 of its last use, or of its addition.
    pub last_activity: Option<i64>,
    /// False where one of several proxies lacks it or leads elsewhere.
    pub everywhere: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("the proxy does not take the route")]
    Route(#[from] RouteError),
    #[error("no proxy answers (ConfigurableHTTPProxy.api_url)")]
    Silent,
    #[error("the proxy is a part of this Hub: there is none to be replaced")]
    NotApart,
}

/// One table of routes, or several that are to be the same.
#[async_trait::async_trait]
pub trait Proxy: Send + Sync {
    /// Leads a prefix to a target; where it leads already, from there to this one.
    async fn add_route(&self, route: Route) -> Result<(), ProxyError>;

    /// Takes a prefix out, if it is there.
    async fn delete_route(&self, prefix: &str) -> Result<(), ProxyError>;

    /// All routes of the Hub and of nobody else, by their prefixes.
    async fn get_all_routes(&self) -> Result<Vec<FoundRoute>, ProxyError>;

    /// When a request last used the route of exactly this prefix, in milliseconds; `None` where none did that is known of.
    fn last_used(&self, prefix: &str) -> Option<i64>;

    /// What leads requests without another route to the Hub; `None` where the Hub gets them anyway.
    fn hub_route(&self) -> Option<Route> {
        None
    }

    /// Keeps the proxy at another address from now on, or by another token; until this Hub ends.
    fn replace(&self, _: Option<Url>, _: Option<String>) -> Result<(), ProxyError> {
        Err(ProxyError::NotApart)
    }
}

/// The Hub's proxy, and what its checks know of each other.
pub struct Routing {
    pub proxy: Box<dyn Proxy>,
    /// One check at a time.
    pub checking: Mutex<()>,
}

impl Routing {
    pub fn new(proxy: Box<dyn Proxy>) -> Self {
        let checking = Mutex::new(());
        Self { proxy, checking }
    }
}

/// The table by which this process itself proxies.
pub struct InProcess(pub Routes);

#[async_trait::async_trait]
impl Proxy for InProcess {
    async fn add_route(&self, route: Route) -> Result<(), ProxyError> {
        let new = NewRoute {
            targets: vec![route.target],
            data: route.data.into(),
            last_activity: None,
        };
        Ok(self.0.put(&route.prefix, new)?)
    }

    async fn delete_route(&self, prefix: &str) -> Result<(), ProxyError> {
        self.0.remove(prefix);
        Ok(())
    }

    async fn get_all_routes(&self) -> Result<Vec<FoundRoute>, ProxyError> {
        let found = self.0.list().into_iter().map(|found| FoundRoute {
            route: Route {
                prefix: found.prefix,
                target: found.target,
                data: found.data.as_ref().clone(),
            },
            last_activity: Some(milliseconds(found.last_activity)),
            everywhere: true,
        });
        Ok(found.collect())
    }

    fn last_used(&self, prefix: &str) -> Option<i64> {
        self.0.last_used(prefix).map(milliseconds)
    }
}

fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}

/// A prefix as proxies compare it: each has a spelling of its own.
pub fn plain(prefix: &str) -> String {
    let decoded = percent_decode_str(prefix).decode_utf8_lossy();
    decoded.trim_end_matches('/').to_owned()
}
