//! What became of the requests of each route, for the admin page and for Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, EncodeLabelSet, PartialEq, Eq, Hash)]
struct OfRoute {
    route: String,
}

#[derive(Clone, Debug, EncodeLabelSet, PartialEq, Eq, Hash)]
struct OfStatus {
    route: String,
    code: u16,
}

/// Of all routes, by their names.
pub struct Stats {
    registry: Registry,
    requests: Family<OfStatus, Counter>,
    seconds: Family<OfRoute, Histogram, fn() -> Histogram>,
    pub unmatched: Counter,
    pub routes: Gauge,
    pub problems: Gauge,
    by_route: Mutex<BTreeMap<String, Arc<RouteStats>>>,
}

/// Of one route.
pub struct RouteStats {
    route: String,
    requests: Family<OfStatus, Counter>,
    seconds: Family<OfRoute, Histogram, fn() -> Histogram>,
    told: Mutex<Told>,
}

/// What the admin page says of a route.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub requests: u64,
    /// Those that the target did not answer, or with a status from 500 on.
    pub errors: u64,
    /// How the last request ended: None where there was none.
    pub works: Option<bool>,
    pub last_error: Option<(Timestamp, String)>,
    codes: BTreeSet<u16>,
}

fn buckets() -> Histogram {
    Histogram::new([0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0])
}

impl Default for Stats {
    fn default() -> Self {
        let mut stats = Self {
            registry: Registry::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(buckets),
            unmatched: Counter::default(),
            routes: Gauge::default(),
            problems: Gauge::default(),
            by_route: Mutex::default(),
        };
        let registry = &mut stats.registry;
        let text = "Requests of a route, by the status that the client got";
        registry.register("carrel_gateway_requests", text, stats.requests.clone());
        let text = "Time from a request to the head of its answer";
        registry.register("carrel_gateway_seconds", text, stats.seconds.clone());
        let text = "Requests without a route";
        registry.register("carrel_gateway_unmatched", text, stats.unmatched.clone());
        let text = "Routes that stand";
        registry.register("carrel_gateway_routes", text, stats.routes.clone());
        let text = "Routes and parts of them that do not stand, or lead nowhere";
        registry.register("carrel_gateway_problems", text, stats.problems.clone());
        stats
    }
}

impl Stats {
    pub fn of(&self, route: &str) -> Arc<RouteStats> {
        let mut by_route = lock(&self.by_route);
        let known = by_route.entry(route.to_owned());
        let made = known.or_insert_with(|| {
            Arc::new(RouteStats {
                route: route.to_owned(),
                requests: self.requests.clone(),
                seconds: self.seconds.clone(),
                told: Mutex::default(),
            })
        });
        Arc::clone(made)
    }

    /// Forgets all routes but these.
    pub fn keep(&self, routes: &BTreeSet<String>) {
        lock(&self.by_route).retain(|name, stats| {
            let stays = routes.contains(name);
            if !stays {
                stats.forget();
            }
            stays
        });
    }

    /// As Prometheus reads it.
    ///
    /// # Errors
    /// When it cannot be written as text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl RouteStats {
    /// The client got `status`; `error` is why it is no answer of the target, or none that is good.
    pub fn count(&self, status: u16, after: Duration, error: Option<String>) {
        let route = self.route.clone();
        let labels = OfStatus {
            route: route.clone(),
            code: status,
        };
        self.requests.get_or_create(&labels).inc();
        let seconds = self.seconds.get_or_create(&OfRoute { route });
        seconds.observe(after.as_secs_f64());
        let mut told = lock(&self.told);
        told.requests += 1;
        told.codes.insert(status);
        told.works = Some(error.is_none());
        if let Some(error) = error {
            told.errors += 1;
            told.last_error = Some((Timestamp::now(), error));
        }
    }

    fn forget(&self) {
        let route = self.route.clone();
        for code in &lock(&self.told).codes {
            let route = route.clone();
            self.requests.remove(&OfStatus { route, code: *code });
        }
        self.seconds.remove(&OfRoute { route });
    }

    pub fn told(&self) -> Told {
        lock(&self.told).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
