//! The route table: which prefix leads to which target, and when each was last used. Knows no HTTP connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use url::Url;

use crate::path::key;
use crate::pool::Pool;

/// The routes of a proxy. Clones share one table; readers never wait for writers.
#[derive(Clone, Default)]
pub struct Routes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    table: ArcSwap<Table>,
    /// Held while a new table is made from the old one.
    writer: Mutex<()>,
}

/// Immutable once published; a change publishes a changed copy.
#[derive(Clone, Default)]
struct Table {
    by_prefix: HashMap<String, Entry>,
    /// Segments of the longest prefix: longer paths need no look at their tail.
    depth: usize,
}

#[derive(Clone)]
struct Entry {
    route: Arc<Route>,
    data: Data,
}

/// What its owner keeps with a route.
pub type Data = Arc<Map<String, Value>>;

/// One prefix and the server behind it.
pub(crate) struct Route {
    prefix: String,
    /// Never empty in a table; all but the first are for when those before cannot be connected.
    targets: Vec<Url>,
    /// Unix seconds of the addition.
    added: u64,
    /// Unix seconds.
    last_activity: AtomicU64,
    pub(crate) pool: Pool,
}

/// What [`Routes::get`] and [`Routes::list`] tell about a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteInfo {
    /// As it was added: `/user/alice/`.
    pub prefix: String,
    pub target: Url,
    /// As it was given by who added it.
    pub data: Data,
    /// Unix seconds of the last answer or websocket byte; the time of the addition before the first.
    pub last_activity: u64,
}

/// A route that is to be.
#[derive(Debug, Clone)]
pub struct NewRoute {
    /// Their paths are not used: prefixes are not stripped. Each further one is for when those before cannot be
    /// connected.
    pub targets: Vec<Url>,
    pub data: Data,
    /// Unix seconds; now, where there is none.
    pub last_activity: Option<u64>,
}

impl From<Url> for NewRoute {
    fn from(target: Url) -> Self {
        Self {
            targets: vec![target],
            data: Data::default(),
            last_activity: None,
        }
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RouteError {
    #[error("the prefix `{0}` does not begin with a slash")]
    Prefix(String),
    #[error("the target {0} is not of the form http://host:port")]
    Target(Url),
    #[error("a route needs a target")]
    NoTarget,
}

impl Routes {
    pub fn new() -> Self {
        Self::default()
    }

    /// Leads `prefix` and all below it to a target, whose path is not used: prefixes are not stripped.
    /// A second call with the same target changes its data alone, with another it moves the prefix there.
    pub fn add(&self, prefix: &str, target: Url) -> Result<(), RouteError> {
        self.put(prefix, target.into())
    }

    /// [`Routes::add`] with all that a route has.
    pub fn put(&self, prefix: &str, new: NewRoute) -> Result<(), RouteError> {
        if !prefix.starts_with('/') {
            return Err(RouteError::Prefix(prefix.to_owned()));
        }
        if new.targets.is_empty() {
            return Err(RouteError::NoTarget);
        }
        let pool = Pool::for_targets(&new.targets).map_err(RouteError::Target)?;
        let key = key(prefix).into_owned();
        self.change(|table| {
            let known = table.by_prefix.get_mut(&key);
            if let Some(entry) = known.filter(|entry| entry.route.targets == new.targets) {
                entry.data = new.data;
                return;
            }
            let added = now();
            let route = Arc::new(Route {
                prefix: prefix.to_owned(),
                targets: new.targets,
                added,
                last_activity: AtomicU64::new(new.last_activity.unwrap_or(added)),
                pool,
            });
            let data = new.data;
            table.depth = table.depth.max(segments(&key));
            table.by_prefix.insert(key, Entry { route, data });
        });
        Ok(())
    }

    /// Takes a prefix out; `false` when there was none. Requests and websockets under way go on.
    pub fn remove(&self, prefix: &str) -> bool {
        let key = key(prefix);
        self.change(|table| {
            let removed = table.by_prefix.remove(key.as_ref()).is_some();
            table.depth = table
                .by_prefix
                .keys()
                .map(|key| segments(key))
                .max()
                .unwrap_or(0);
            removed
        })
    }

    /// The route of exactly this prefix.
    pub fn get(&self, prefix: &str) -> Option<RouteInfo> {
        self.0
            .table
            .load()
            .by_prefix
            .get(key(prefix).as_ref())
            .map(Entry::info)
    }

    /// All routes, sorted by prefix.
    pub fn list(&self) -> Vec<RouteInfo> {
        let mut routes: Vec<_> = self
            .0
            .table
            .load()
            .by_prefix
            .values()
            .map(Entry::info)
            .collect();
        routes.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        routes
    }

    /// Unix seconds at which the route of exactly this prefix was last used.
    pub fn last_activity(&self, prefix: &str) -> Option<u64> {
        self.get(prefix).map(|route| route.last_activity)
    }

    /// Unix seconds at which a request last used the route of exactly this prefix; nothing where none did since the second
    /// in which it was added, which is nobody's activity.
    pub fn last_used(&self, prefix: &str) -> Option<u64> {
        let table = self.0.table.load();
        let Entry { route, .. } = table.by_prefix.get(key(prefix).as_ref())?;
        let last = route.last_activity.load(Ordering::Relaxed);
        (last > route.added).then_some(last)
    }

    /// The route with the longest prefix of `path` by whole segments.
    pub(crate) fn find(&self, path: &str) -> Option<Arc<Route>> {
        let table = self.0.table.load();
        if table.by_prefix.is_empty() || !path.starts_with('/') {
            return None;
        }
        let key = key(path);
        let mut prefix = first_segments(&key, table.depth);
        loop {
            if let Some(entry) = table.by_prefix.get(prefix) {
                return Some(entry.route.clone());
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
    }

    fn change<R>(&self, edit: impl FnOnce(&mut Table) -> R) -> R {
        let _writer = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.0.table.load());
        let result = edit(&mut table);
        self.0.table.store(Arc::new(table));
        result
    }
}

impl Route {
    /// One that is in no table.
    pub(crate) fn alone(name: &str, pool: Pool) -> Self {
        let added = now();
        Self {
            prefix: name.to_owned(),
            targets: Vec::new(),
            added,
            last_activity: AtomicU64::new(added),
            pool,
        }
    }

    /// Records that the route was used just now.
    pub(crate) fn touch(&self) {
        let now = now();
        // The line of memory is shared by all threads that serve the route: write it once a second.
        if self.last_activity.load(Ordering::Relaxed) < now {
            self.last_activity.fetch_max(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl Entry {
    fn info(&self) -> RouteInfo {
        let Self { route, data } = self;
        RouteInfo {
            prefix: route.prefix.clone(),
            target: route.targets[0].clone(),
            data: data.clone(),
            last_activity: route.last_activity.load(Ordering::Relaxed),
        }
    }
}

fn segments(key: &str) -> usize {
    key.bytes().filter(|byte| *byte == b'/').count()
}

/// `key` cut after its first `depth` segments.
fn first_segments(key: &str, depth: usize) -> &str {
    key.match_indices('/')
        .nth(depth)
        .map_or(key, |(end, _)| &key[..end])
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
