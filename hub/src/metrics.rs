//! What Prometheus reads, under JupyterHub's names (jupyterhub/metrics.py). How many users and servers there are is asked
//! of the database each time; what was measured is of this Hub since its start.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::db::{Db, DbError, now};

/// Seconds, those of the Python client.
const USUAL: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// Seconds of a start.
const OF_START: [f64; 12] = [
    0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0,
];
const DAY: i64 = 24 * 3600 * 1000;
/// The periods in which users were active.
const PERIODS: [(&str, i64); 3] = [("24h", DAY), ("7d", 7 * DAY), ("30d", 30 * DAY)];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    handler: String,
    code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Period {
    period: &'static str,
}

/// What this Hub has measured.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Histogram>,
    starts: Family<Status, Histogram>,
    logins: Family<Status, Histogram>,
    checks: Histogram,
    startup: Histogram,
    running: Gauge,
    users: Gauge,
    active: Family<Period, Gauge>,
}

fn usual() -> Histogram {
    Histogram::new(USUAL)
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            requests: Family::new_with_constructor(usual),
            starts: Family::new_with_constructor(|| Histogram::new(OF_START)),
            logins: Family::new_with_constructor(usual),
            checks: usual(),
            startup: usual(),
            running: Gauge::default(),
            users: Gauge::default(),
            active: Family::default(),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let mut registry = Registry::with_prefix("jupyterhub");
        let seconds = |name: &str| format!("{name}_duration_seconds");
        registry.register(
            seconds("request"),
            "Request duration for all HTTP requests",
            self.requests.clone(),
        );
        registry.register(
            seconds("server_spawn"),
            "Time taken for server spawning operation",
            self.starts.clone(),
        );
        registry.register(
            seconds("login"),
            "Duration of all tries to log in",
            self.logins.clone(),
        );
        registry.register(
            seconds("check_routes"),
            "Time taken to validate all routes in proxy",
            self.checks.clone(),
        );
        registry.register(
            seconds("hub_startup"),
            "Time taken for Hub to start",
            self.startup.clone(),
        );
        registry.register(
            "running_servers",
            "The number of user servers currently running",
            self.running.clone(),
        );
        registry.register("total_users", "Total number of users", self.users.clone());
        registry.register(
            "active_users",
            "Number of users who were active in the given time period",
            self.active.clone(),
        );
        self.registry = registry;
        self
    }

    /// `handler` is the route of the request; one that matches none has the empty one, or each wrong address would be a
    /// series of its own.
    pub fn answered(&self, method: &http::Method, handler: &str, code: u16, took: Duration) {
        let request = Request {
            method: known(method),
            handler: handler.to_owned(),
            code,
        };
        self.requests
            .get_or_create(&request)
            .observe(took.as_secs_f64());
    }

    /// A start is over, that was asked for at this time.
    pub fn started(&self, well: bool, asked: Option<i64>) {
        let took = now().saturating_sub(asked.unwrap_or_else(now)).max(0);
        // Below 2^53.
        self.starts
            .get_or_create(&status(well))
            .observe(took as f64 / 1000.0);
    }

    pub fn logged_in(&self, well: bool, took: Duration) {
        self.logins
            .get_or_create(&status(well))
            .observe(took.as_secs_f64());
    }

    pub fn checked_routes(&self, took: Duration) {
        self.checks.observe(took.as_secs_f64());
    }

    pub fn hub_is_ready(&self, took: Duration) {
        self.startup.observe(took.as_secs_f64());
    }

    /// All of it in Prometheus' own text.
    pub async fn text(&self, db: &Db) -> Result<String, Failed> {
        self.running.set(db.count_ready_servers().await?);
        self.users.set(db.count_users_since(None).await?);
        for (period, length) in PERIODS {
            let active = db.count_users_since(Some(now() - length)).await?;
            self.active.get_or_create(&Period { period }).set(active);
        }
        let mut told = String::new();
        text::encode(&mut told, &self.registry)?;
        Ok(told)
    }
}

/// Of the methods that there are: clients may send any word for one, and each would be a series of its own.
fn known(method: &http::Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let found = known.into_iter().find(|known| method == *known);
    found.unwrap_or("other")
}

fn status(well: bool) -> Status {
    Status {
        status: if well { "success" } else { "failure" },
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("could not use the database")]
    Db(#[from] DbError),
    #[error("could not write the metrics")]
    Text(#[from] fmt::Error),
}
