//! The routes that stand, with connections to their targets, as requests look them up.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use carrel_proxy::{Target, Trust, host, key};
use http::request::Parts;
use url::form_urlencoded;

use crate::plan::Problem;
use crate::rule::{Action, Address, Match, Path, Rule};
use crate::stats::{RouteStats, Stats};

/// How certificates of targets are believed.
#[derive(Clone)]
pub struct Trusts {
    pub verified: Trust,
    pub blind: Trust,
}

/// One rule, ready for requests.
pub struct Entry {
    pub rule: Rule,
    /// Its path as it is compared.
    path: String,
    /// One for each backend; None where there is no address.
    pub targets: Vec<Option<Target>>,
    pub stats: Arc<RouteStats>,
}

/// What is in force.
#[derive(Default)]
pub struct Table {
    pub entries: Vec<Arc<Entry>>,
    pub problems: Vec<Problem>,
}

/// Clones share one table, which changes as a whole.
#[derive(Clone)]
pub struct Tables(Arc<Inner>);

struct Inner {
    table: ArcSwap<Table>,
    /// Connections outlive changes of the table.
    targets: Mutex<HashMap<Address, Target>>,
    trusts: Trusts,
    stats: Stats,
}

impl Tables {
    pub fn new(trusts: Trusts) -> Self {
        Self(Arc::new(Inner {
            table: ArcSwap::default(),
            targets: Mutex::default(),
            trusts,
            stats: Stats::default(),
        }))
    }

    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    pub fn now(&self) -> Arc<Table> {
        self.0.table.load_full()
    }

    /// Puts the plan in force.
    pub fn set(&self, rules: Vec<Rule>, problems: Vec<Problem>) {
        let mut targets = self
            .0
            .targets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut used = HashMap::new();
        let mut names = BTreeSet::new();
        let entries: Vec<Arc<Entry>> = rules
            .into_iter()
            .map(|rule| {
                let name = rule.origin.to_string();
                let stats = self.0.stats.of(&name);
                names.insert(name);
                let of_rule = addresses(&rule);
                let of_rule = of_rule.map(|address| self.target(&targets, &mut used, address?));
                Arc::new(Entry {
                    targets: of_rule.collect(),
                    path: key(rule.matches.path.text()).into_owned(),
                    rule,
                    stats,
                })
            })
            .collect();
        *targets = used;
        let stats = &self.0.stats;
        stats.keep(&names);
        let size = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        stats.routes.set(size(entries.len()));
        stats.problems.set(size(problems.len()));
        let table = Table { entries, problems };
        self.0.table.store(Arc::new(table));
    }

    /// The target of an address, with the connections that it had.
    fn target(
        &self,
        known: &HashMap<Address, Target>,
        used: &mut HashMap<Address, Target>,
        address: &Address,
    ) -> Option<Target> {
        let target = used.get(address).or_else(|| known.get(address)).cloned();
        let target = target.or_else(|| self.connect(address))?;
        used.insert(address.clone(), target.clone());
        Some(target)
    }

    fn connect(&self, Address { address, tls }: &Address) -> Option<Target> {
        let Some((host, unverified)) = tls else {
            return Some(Target::plain(address, address));
        };
        let trusts = &self.0.trusts;
        let trust = if *unverified {
            &trusts.blind
        } else {
            &trusts.verified
        };
        let target = Target::secure(address, address, host, trust);
        let target = target.inspect_err(|error| {
            tracing::error!(%error, host, "No certificate can be for this host");
        });
        target.ok()
    }
}

fn addresses(rule: &Rule) -> impl Iterator<Item = Option<&Address>> {
    let backends = match &rule.action {
        Action::Forward(backends) => backends.as_slice(),
        Action::Redirect(_) => &[],
    };
    backends.iter().map(|backend| backend.at.as_ref().ok())
}

impl Table {
    /// The first entry that takes a request.
    pub fn find(&self, head: &Parts) -> Option<Arc<Entry>> {
        let path = head.uri.path();
        if !path.starts_with('/') {
            return None;
        }
        let (host, path) = (host(&head.headers, &head.uri), key(path));
        let mut entries = self.entries.iter();
        let found = entries
            .find(|entry| entry.is_at(&path, head) && takes(&entry.rule.matches, &host, head));
        found.cloned()
    }
}

impl Entry {
    /// Whether it has `path`, which is a key: both are made ready once, and this is asked of each entry.
    fn is_at(&self, path: &str, head: &Parts) -> bool {
        let Some(rest) = path.strip_prefix(&self.path) else {
            return false;
        };
        match &self.rule.matches.path {
            Path::Prefix(_) => rest.is_empty() || rest.starts_with('/'),
            Path::Exact(exact) => {
                rest.is_empty() && exact.ends_with('/') == head.uri.path().ends_with('/')
            }
        }
    }
}

fn takes(wanted: &Match, host: &str, head: &Parts) -> bool {
    wanted.host.matches(host)
        && wanted
            .method
            .as_ref()
            .is_none_or(|method| *method == head.method)
        && wanted.headers.iter().all(|(name, value)| {
            let mut given = head.headers.get_all(name).iter();
            given.any(|given| value.as_ref().is_none_or(|value| value == given))
        })
        && (wanted.query.is_empty() || has_arguments(wanted, head))
}

/// Of an argument that is there several times, the first counts.
fn has_arguments(wanted: &Match, head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    let given: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    wanted.query.iter().all(|(name, value)| {
        let first = given.iter().find(|(key, _)| key == name);
        first.is_some_and(|(_, given)| given == value)
    })
}
