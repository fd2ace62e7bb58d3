//! The path of a request: its route, what is hidden and changed, and what is told of its end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carrel_proxy::{Failure, Peer, Switch, Target, Way};
use carrel_service::COOKIES_OF_THE_HUB;
use http::header::{ACCEPT, HOST, LOCATION, UPGRADE};
use http::{HeaderValue, Response, Uri, request, response};
use http_body_util::Full;
use ipnet::IpNet;
use rand::RngExt as _;

use crate::headers::{distrust, edit, hide_cookies};
use crate::page::{self, Told};
use crate::rewrite::{has_dots, rewrite};
use crate::rule::{Action, Backend, Missing, Redirect, Rule, Standing};
use crate::table::{Entry, Tables};

type Answer = Response<Full<Bytes>>;

/// Cookies that only the Hub and the dashboards set.
const RESERVED: [&str; COOKIES_OF_THE_HUB.len() + 1] = {
    let mut all = ["carrel-dashboard"; COOKIES_OF_THE_HUB.len() + 1];
    let (of_the_hub, _) = all.split_at_mut(COOKIES_OF_THE_HUB.len());
    of_the_hub.copy_from_slice(&COOKIES_OF_THE_HUB);
    all
};

/// Chooses by the table that is in force.
#[derive(Clone)]
pub struct Chooser {
    tables: Tables,
    trusted: Arc<[IpNet]>,
}

/// A request that is on its way.
pub struct Passage {
    entry: Arc<Entry>,
    target: Target,
    wants_page: bool,
}

impl Chooser {
    pub fn new(tables: Tables, trusted: &[IpNet]) -> Self {
        Self {
            tables,
            trusted: trusted.into(),
        }
    }

    fn is_trusted(&self, head: &request::Parts) -> bool {
        let peer = head.extensions.get::<Peer>();
        let ip = peer.map(|peer| peer.address.ip().to_canonical());
        ip.is_some_and(|ip| self.trusted.iter().any(|network| network.contains(&ip)))
    }
}

impl Switch for Chooser {
    type Way = Passage;

    fn choose(&self, head: &mut request::Parts) -> Result<Passage, Answer> {
        let wants_page = wants_page(head);
        let Some(entry) = self.tables.now().find(head) else {
            self.tables.stats().unmatched.inc();
            return Err(page::answer(wants_page, &Told::nothing(head.uri.path())));
        };
        let rule = &entry.rule;
        if rule.standing == Standing::Foreign && has_dots(head.uri.path()) {
            let told = Told::dots();
            let status = told.status.as_u16();
            entry.stats.count(status, Duration::ZERO, None);
            return Err(page::answer(wants_page, &told));
        }
        let backends = match &rule.action {
            Action::Forward(backends) => backends,
            Action::Redirect(redirect) => {
                let answer = redirected(rule, redirect, head);
                let status = answer.status().as_u16();
                entry.stats.count(status, Duration::ZERO, None);
                return Err(answer);
            }
        };
        let chosen = drawn(backends);
        let target = chosen.and_then(|chosen| entry.targets.get(chosen)?.clone());
        let Some(target) = target else {
            let missing = chosen.map(|chosen| backends[chosen].at.as_ref().err());
            return Err(nowhere(&entry, missing.flatten(), wants_page));
        };
        if !self.is_trusted(head) {
            distrust(&mut head.headers);
        }
        hide_cookies(&mut head.headers, rule.standing);
        if let Some(with) = &rule.rewrite
            && let Some(path) = rewrite(&head.uri, &rule.matches.path, with)
        {
            head.uri = Uri::from(path);
        }
        edit(&mut head.headers, &rule.request);
        if let Some(host) = &rule.host {
            head.headers.insert(HOST, host.clone());
        }
        Ok(Passage {
            entry: Arc::clone(&entry),
            target,
            wants_page,
        })
    }
}

fn wants_page(head: &request::Parts) -> bool {
    let accepts = head.headers.get_all(ACCEPT).iter();
    let mut accepts = accepts.filter_map(|value| value.to_str().ok());
    accepts.any(|value| value.contains("text/html")) && !head.headers.contains_key(UPGRADE)
}

/// One by chance, as their weights say; None where all are 0.
fn drawn(backends: &[Backend]) -> Option<usize> {
    let sum: u64 = backends
        .iter()
        .map(|backend| u64::from(backend.weight))
        .sum();
    if sum == 0 {
        return None;
    }
    let mut at = match backends {
        [_] => 0,
        _ => rand::rng().random_range(0..sum),
    };
    backends.iter().position(|backend| {
        let weight = u64::from(backend.weight);
        let here = at < weight;
        at = at.saturating_sub(weight);
        here
    })
}

/// The answer where a route has no target.
fn nowhere(entry: &Entry, missing: Option<&Missing>, wants_page: bool) -> Answer {
    let rule = &entry.rule;
    let why = missing.map_or("it has no backend", Missing::text);
    let told = Told::misled(rule);
    entry
        .stats
        .count(told.status.as_u16(), Duration::ZERO, Some(why.to_owned()));
    page::answer(wants_page, &told)
}

fn redirected(rule: &Rule, redirect: &Redirect, head: &request::Parts) -> Answer {
    let path = redirect
        .path
        .as_ref()
        .and_then(|path| rewrite(&head.uri, &rule.matches.path, path));
    let path = path.or_else(|| head.uri.path_and_query().cloned());
    let path = path.map_or_else(|| "/".to_owned(), |path| path.to_string());
    let mut location = path;
    if redirect.scheme.is_some() || redirect.host.is_some() || redirect.port.is_some() {
        let https = head.extensions.get::<Peer>().is_some_and(|peer| peer.https);
        let scheme = redirect
            .scheme
            .as_deref()
            .unwrap_or(if https { "https" } else { "http" });
        let given = carrel_proxy::host(&head.headers, &head.uri);
        let host = redirect.host.as_deref().unwrap_or(&given);
        let port = match (redirect.port, scheme) {
            (None, _) | (Some(80), "http") | (Some(443), "https") => String::new(),
            (Some(port), _) => format!(":{port}"),
        };
        location = format!("{scheme}://{host}{port}{location}");
    } else if location.starts_with("//") {
        // That would be another host.
        location.insert_str(0, "/.");
    }
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = redirect.status;
    if let Ok(location) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

impl Way for Passage {
    fn target(&self) -> &Target {
        &self.target
    }

    fn timeout(&self) -> Option<Duration> {
        self.entry.rule.timeout
    }

    fn confined(&self) -> Option<(&str, &[&str])> {
        let Rule {
            standing, matches, ..
        } = &self.entry.rule;
        let foreign = *standing == Standing::Foreign;
        foreign.then_some((matches.path.text(), &RESERVED))
    }

    fn answered(&self, head: &mut response::Parts, after: Duration) {
        let status = head.status;
        let error = status
            .is_server_error()
            .then(|| format!("the target answered {status}"));
        self.entry.stats.count(status.as_u16(), after, error);
        edit(&mut head.headers, &self.entry.rule.response);
    }

    fn failed(&self, failure: &Failure, after: Duration) -> Answer {
        let Entry { rule, stats, .. } = &*self.entry;
        let told = Told::failed(rule, failure);
        let cause = failure.cause.as_str();
        tracing::warn!(route = %rule.origin, cause, "A target did not answer");
        stats.count(told.status.as_u16(), after, Some(failure.cause.clone()));
        page::answer(self.wants_page, &told)
    }
}
