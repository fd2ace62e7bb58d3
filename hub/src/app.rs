//! What every handler shares: configuration, database, spawner, routes. Holds no state that the database lacks.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carrel_spawner::Spawner;
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use url::{Host, Origin, Url};

use crate::auth::cookies;
use crate::auth::crypt::Keeper;
use crate::auth::username::escape;
use crate::auth::xsrf;
use crate::authenticators::Authenticator;
use crate::config::Config;
use crate::db::Db;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::proxy::Routing;
use crate::servers::busy::Busy;
use crate::servers::queue::Queue;
use crate::subdomains::Subdomains;

/// The version of JupyterHub whose contract the Hub keeps; stock clients compare it with their own.
pub const JUPYTERHUB_VERSION: &str = "6.1.1";

/// Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub config: Config,
    pub db: Db,
    pub authenticator: Authenticator,
    pub spawner: Arc<dyn Spawner>,
    pub routing: Routing,
    pub urls: Urls,
    pub wake: Wake,
    pub xsrf: xsrf::Key,
    pub keeper: Keeper,
    /// Starts and stops that this process carries out; the sweep leaves them alone.
    pub busy: Busy,
    pub queue: Queue,
    pub metrics: Metrics,
    pub events: Events,
    /// Whether this Hub does what is to be done by one of several.
    pub leads: AtomicBool,
    ending: watch::Sender<Option<Ending>>,
}

/// How the Hub is to end that was told to by a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Stop the servers too; as at any end where it is not said.
    pub servers: Option<bool>,
}

impl App {
    pub fn new(
        config: Config,
        db: Db,
        authenticator: Authenticator,
        spawner: Arc<dyn Spawner>,
        routing: Routing,
        at: SocketAddr,
        (xsrf, keeper): (xsrf::Key, Keeper),
    ) -> Self {
        let urls = Urls::new(&config, at);
        let queue = Queue::new(db.clone(), config.jupyter_hub.concurrent_spawn_limit);
        Self(Arc::new(Parts {
            events: Events::new(&config.event_logger),
            authenticator,
            config,
            db,
            spawner,
            routing,
            urls,
            wake: Wake::default(),
            xsrf,
            keeper,
            busy: Default::default(),
            queue,
            metrics: Metrics::default(),
            leads: AtomicBool::default(),
            ending: watch::Sender::default(),
        }))
    }

    /// Whether the Hub is served under this name, in `Host` and without a port: on a loopback address, and where others have
    /// names below its own, under its own alone.
    pub fn is_own_host(&self, host: &str) -> bool {
        let hub = &self.config.jupyter_hub;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let plain = host.trim_matches(['[', ']']).parse().ok();
        let known = match &self.urls.subdomains {
            Some(subdomains) => {
                host == subdomains.domain() || (plain.is_some() && !hub.ip.is_loopback())
            }
            None => !hub.ip.is_loopback(),
        };
        let servers = hub.hub_connect_url.as_ref().and_then(Url::host_str);
        let public = match &self.urls.origin {
            Some(Origin::Tuple(_, Host::Domain(name), _)) => Some(name.as_str()),
            _ => None,
        };
        known
            || Some(host.as_str()) == public
            || ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str())
            || Some(host.as_str()) == servers
            || hub.allowed_hosts.iter().any(|allowed| **allowed == *host)
            || (plain.is_some() && [Some(hub.ip), hub.hub_ip].contains(&plain))
    }

    /// Has the Hub end.
    pub fn end(&self, how: Ending) {
        self.ending.send_replace(Some(how));
    }

    /// Waits until a request has told the Hub to end.
    pub async fn told_to_end(&self) {
        let mut ending = self.ending.subscribe();
        // The sender lives as long as this.
        let _ = ending.wait_for(Option::is_some).await;
    }

    /// Whether servers are to be stopped when the Hub ends; by itself it leaves them to other Hubs.
    pub fn stops_servers(&self, alone: bool) -> bool {
        let told = *self.ending.borrow();
        let cleanup = self.config.jupyter_hub.cleanup_servers && alone;
        told.and_then(|how| how.servers).unwrap_or(cleanup)
    }

    /// The name that a cookie of the Hub has.
    pub fn cookie(&self, name: &cookies::Name) -> &'static str {
        match self.config.jupyter_hub.cookie_host_prefix_enabled {
            true => name.for_one_host,
            false => name.plain,
        }
    }

    /// Seconds that a login lasts, and the tokens that servers get by it.
    pub fn login_seconds(&self) -> i64 {
        let life = self.config.jupyter_hub.cookie_max_age_days.0;
        life.as_secs().cast_signed()
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Where things are, all under `JupyterHub.base_url`.
#[derive(Debug, Clone)]
pub struct Urls {
    /// `/` or `/jupyter/`.
    pub base: String,
    /// `<base>hub/`.
    pub hub: String,
    /// Where servers reach the API, without a slash at the end.
    pub api: String,
    /// Hosts of servers and services, where they do not share the Hub's.
    pub subdomains: Option<Subdomains>,
    /// The Hub's own origin as people reach it, where that is known: `JupyterHub.public_url`, or `subdomain_host`.
    pub origin: Option<Origin>,
}

impl Urls {
    /// `at` is where servers reach the Hub, unless the configuration says it.
    pub(crate) fn new(config: &Config, at: SocketAddr) -> Self {
        let base = config.jupyter_hub.base_url.to_string();
        let hub = format!("{base}hub/");
        let origin = match &config.jupyter_hub.hub_connect_url {
            Some(url) => url.origin().ascii_serialization(),
            None if at.ip().is_unspecified() => format!("http://127.0.0.1:{}", at.port()),
            None => format!("http://{at}"),
        };
        let api = format!("{origin}{hub}api");
        Self {
            base,
            hub,
            api,
            subdomains: Subdomains::of(&config.jupyter_hub),
            origin: config.jupyter_hub.public_origin(),
        }
    }

    /// The host of the server or service at a path; none where all share one, and for the Hub's own.
    pub fn host_of(&self, path: &str) -> Option<String> {
        let subdomains = self.subdomains.as_ref()?;
        let mut words = path.strip_prefix(&self.base)?.splitn(3, '/');
        let (kind, name) = (words.next()?, words.next()?);
        let name = percent_decode_str(name).decode_utf8().ok()?;
        match kind {
            "user" if !name.is_empty() => Some(subdomains.user(&name)),
            "services" if !name.is_empty() => Some(subdomains.service(&name)),
            _ => None,
        }
    }

    /// A path as browsers reach it from everywhere: with hosts of their own for servers, whole.
    pub fn public(&self, path: &str) -> String {
        let Some(subdomains) = &self.subdomains else {
            return path.to_owned();
        };
        match self.host_of(path) {
            Some(host) => format!("{}{path}", subdomains.origin(&host)),
            None => format!("{}{path}", subdomains.hub()),
        }
    }

    /// The whole of [`Urls::public`], where it is known.
    pub fn full(&self, path: &str) -> Option<String> {
        match (&self.subdomains, &self.origin) {
            (Some(_), _) => Some(self.public(path)),
            (None, Some(origin)) => Some(format!("{}{path}", origin.ascii_serialization())),
            (None, None) => None,
        }
    }

    /// The Hub's own origin; empty where it is not known.
    pub fn origin(&self) -> String {
        let origin = self.origin.as_ref();
        origin.map_or(String::new(), Origin::ascii_serialization)
    }

    /// Whether people reach the Hub by HTTPS, where that is said once for all.
    pub fn is_https(&self) -> Option<bool> {
        match self.origin.as_ref()? {
            Origin::Tuple(scheme, ..) => Some(scheme == "https"),
            Origin::Opaque(_) => None,
        }
    }

    /// The Hub's host as people name it, with its port where that is not the scheme's own.
    pub fn public_host(&self) -> Option<String> {
        let origin = self.origin.as_ref()?.ascii_serialization();
        origin.split_once("://").map(|(_, host)| host.to_owned())
    }

    /// The prefix of a route: with hosts of their own for servers, the host stands first.
    pub fn route(&self, path: &str) -> String {
        match self.host_of(path) {
            Some(host) => format!("/{host}{path}"),
            None => path.to_owned(),
        }
    }

    /// The path of what has come by a route, unless it is another's host that stands there.
    pub fn path_of<'r>(&self, route: &'r str) -> Option<&'r str> {
        if self.subdomains.is_none() {
            return Some(route);
        }
        let end = route.get(1..)?.find('/')? + 1;
        let (host, path) = (&route[1..end], &route[end..]);
        (self.host_of(path).as_deref() == Some(host)).then_some(path)
    }

    /// Where people go on when nothing else is asked for.
    pub fn home(&self) -> String {
        format!("{}home", self.hub)
    }

    /// `<base>user/<escaped>/[<server>/]`: base URL of a server.
    pub fn server(&self, user: &str, server: &str) -> String {
        format!("{}user/{}/", self.base, Self::path(user, server))
    }

    /// `<base>services/<name>/`: where people reach a service; its name needs no escapes.
    pub fn service(&self, name: &str) -> String {
        crate::config::service::prefix(&self.base, name)
    }

    /// `<hub><page>/<escaped>[/<server>]`.
    pub fn page(&self, page: &str, user: &str, server: &str) -> String {
        format!("{}{page}/{}", self.hub, Self::path(user, server))
    }

    /// Where somebody who is sent a code of a share accepts it.
    pub fn accept_share(&self, code: &str) -> String {
        format!("{}accept-share?code={}", self.hub, escape(code))
    }

    /// `<hub>api/users/<escaped>/server/progress`, or that of a named server.
    pub fn progress(&self, user: &str, server: &str) -> String {
        let user = escape(user);
        match server {
            "" => format!("{}api/users/{user}/server/progress", self.hub),
            name => format!(
                "{}api/users/{user}/servers/{}/progress",
                self.hub,
                escape(name)
            ),
        }
    }

    fn path(user: &str, server: &str) -> String {
        if server.is_empty() {
            escape(user)
        } else {
            format!("{}/{}", escape(user), escape(server))
        }
    }
}

/// Wakes those who wait for a change in the database. Only a hint: they look by themselves as well, because the
/// change may have come from another replica.
#[derive(Debug, Default)]
pub struct Wake(Mutex<HashMap<i64, watch::Sender<()>>>);

impl Wake {
    /// Wakes those who wait for a change of this server.
    pub fn server(&self, id: i64) {
        let mut servers = self.servers();
        let heard = servers
            .get(&id)
            .is_some_and(|sender| sender.send(()).is_ok());
        if !heard {
            // Nobody waits any more.
            servers.remove(&id);
        }
    }

    /// Subscribe before looking at the database, so that no change falls between.
    pub fn subscribe(&self, id: i64) -> watch::Receiver<()> {
        self.servers().entry(id).or_default().subscribe()
    }

    fn servers(&self) -> MutexGuard<'_, HashMap<i64, watch::Sender<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, or for the time after which one looks anyway.
    pub async fn wait(receiver: &mut watch::Receiver<()>) {
        let _ = tokio::time::timeout(Duration::from_secs(1), receiver.changed()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_of_one_server_wakes_nobody_who_waits_for_another() {
        let wake = Wake::default();
        let mut own = [wake.subscribe(1), wake.subscribe(1)];
        let other = wake.subscribe(2);
        wake.server(1);
        for waiter in &mut own {
            assert!(waiter.has_changed().unwrap());
            Wake::wait(waiter).await;
        }
        assert!(!other.has_changed().unwrap());
    }

    #[test]
    fn nothing_is_kept_of_a_server_that_nobody_waits_for() {
        let wake = Wake::default();
        drop(wake.subscribe(1));
        wake.server(1);
        wake.server(2);
        assert!(wake.servers().is_empty());
    }
}
