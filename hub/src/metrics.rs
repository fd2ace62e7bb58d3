//! What Prometheus reads, under JupyterHub's names (jupyterhub/metrics.py). How many users and servers there are is asked
//! of the database each time; what was measured is of this Hub since its start.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
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

/// How a start has ended; the reason is one of JupyterHub's words, or empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    status: &'static str,
    reason: &'static str,
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
    starts: Family<Ended, Histogram>,
    stops: Family<Status, Histogram>,
    looks: Family<Status, Histogram>,
    logins: Family<Status, Histogram>,
    logouts: Histogram,
    checks: Histogram,
    tables: Histogram,
    added_routes: Family<Status, Histogram>,
    deleted_routes: Family<Status, Histogram>,
    startup: Histogram,
    adoption: Histogram,
    csp_reports: Counter,
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
            stops: by_status(&WELL_OR_NOT),
            looks: by_status(&["running", "stopped"]),
            logins: by_status(&WELL_OR_NOT),
            logouts: usual(),
            checks: usual(),
            tables: usual(),
            added_routes: by_status(&WELL_OR_NOT),
            deleted_routes: by_status(&WELL_OR_NOT),
            startup: usual(),
            adoption: usual(),
            csp_reports: Counter::default(),
            running: Gauge::default(),
            users: Gauge::default(),
            active: Family::default(),
        };
        for of in [ended(true, ""), ended(false, ""), ended(false, TOO_MANY)] {
            drop(metrics.starts.get_or_create(&of));
        }
        metrics.registered()
    }
}

/// JupyterHub's word for `active_server_limit`.
const TOO_MANY: &str = "too-many-users";
const WELL_OR_NOT: [&str; 2] = ["success", "failure"];

/// With a series for each of these: a rate needs one before the first time.
fn by_status(all: &[&'static str]) -> Family<Status, Histogram> {
    let family = Family::<Status, Histogram>::new_with_constructor(usual);
    for status in all {
        drop(family.get_or_create(&Status { status }));
    }
    family
}

impl Metrics {
    fn registered(mut self) -> Self {
        let mut registry = Registry::with_prefix("jupyterhub");
        self.register_durations(&mut registry);
        registry.register(
            "csp_reports",
            "Content security policy violation reports",
            self.csp_reports.clone(),
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

    fn register_durations(&self, registry: &mut Registry) {
        registry.register(
            "request_duration_seconds",
            "Request duration for all HTTP requests",
            self.requests.clone(),
        );
        registry.register(
            "server_spawn_duration_seconds",
            "Time taken for server spawning operation",
            self.starts.clone(),
        );
        let by_status = [
            (
                "server_stop",
                "Time taken for server stopping operation",
                &self.stops,
            ),
            (
                "server_poll_duration",
                "Time taken to poll if server is running",
                &self.looks,
            ),
            (
                "login_duration",
                "Duration of all tries to log in",
                &self.logins,
            ),
            (
                "proxy_add_duration",
                "Duration for adding user routes to proxy",
                &self.added_routes,
            ),
            (
                "proxy_delete_duration",
                "Duration for deleting user routes from proxy",
                &self.deleted_routes,
            ),
        ];
        for (name, help, family) in by_status {
            registry.register(format!("{name}_seconds"), help, family.clone());
        }
        let plain = [
            (
                "logout",
                "Duration of all requests to log out",
                &self.logouts,
            ),
            (
                "check_routes",
                "Time taken to validate all routes in proxy",
                &self.checks,
            ),
            (
                "proxy_poll",
                "Duration for polling all routes from proxy",
                &self.tables,
            ),
            ("hub_startup", "Time taken for Hub to start", &self.startup),
            (
                "init_spawners",
                "Time taken to adopt the servers of the last run",
                &self.adoption,
            ),
        ];
        for (name, help, histogram) in plain {
            registry.register(format!("{name}_duration_seconds"), help, histogram.clone());
        }
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
            .get_or_create(&ended(well, ""))
            .observe(took as f64 / 1000.0);
    }

    /// A start was refused at once: too many servers are active.
    pub fn refused_start(&self) {
        self.starts
            .get_or_create(&ended(false, TOO_MANY))
            .observe(0.0);
    }

    pub fn stopped(&self, well: bool, took: Duration) {
        observe(&self.stops, well, took);
    }

    /// The spawner has said whether a server runs.
    pub fn looked(&self, runs: bool, took: Duration) {
        let status = if runs { "running" } else { "stopped" };
        self.looks
            .get_or_create(&Status { status })
            .observe(took.as_secs_f64());
    }

    pub fn logged_in(&self, well: bool, took: Duration) {
        observe(&self.logins, well, took);
    }

    pub fn logged_out(&self, took: Duration) {
        self.logouts.observe(took.as_secs_f64());
    }

    pub fn checked_routes(&self, took: Duration) {
        self.checks.observe(took.as_secs_f64());
    }

    /// The proxy has told all of its routes, or has not.
    pub fn asked_for_routes(&self, took: Duration) {
        self.tables.observe(took.as_secs_f64());
    }

    pub fn added_route(&self, well: bool, took: Duration) {
        observe(&self.added_routes, well, took);
    }

    pub fn deleted_route(&self, well: bool, took: Duration) {
        observe(&self.deleted_routes, well, took);
    }

    pub fn hub_is_ready(&self, took: Duration) {
        self.startup.observe(took.as_secs_f64());
    }

    pub fn adopted(&self, took: Duration) {
        self.adoption.observe(took.as_secs_f64());
    }

    pub fn reported(&self) {
        self.csp_reports.inc();
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

fn observe(family: &Family<Status, Histogram>, well: bool, took: Duration) {
    family
        .get_or_create(&Status { status: word(well) })
        .observe(took.as_secs_f64());
}

fn ended(well: bool, reason: &'static str) -> Ended {
    Ended {
        status: word(well),
        reason,
    }
}

fn word(well: bool) -> &'static str {
    if well { "success" } else { "failure" }
}

#[derive(Debug, thiserror::Error)]
pub enum Failed {
    #[error("could not use the database")]
    Db(#[from] DbError),
    #[error("could not write the metrics")]
    Text(#[from] fmt::Error),
}
