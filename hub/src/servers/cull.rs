//! The end of servers that have run for long enough: in which nothing has happened, that are old, whose user has used up
//! the hours of a quota. Their users are told before. Users who do not come any more are removed. The options have the
//! meaning that jupyterhub-idle-culler gives them; a kernel that computes counts as something happening.

mod bounds;
mod due;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use tracing::{error, info, warn};

use super::activity::{self, Activity};
use super::{leftovers, log_db_error, stopping, watch};
use crate::access::permit::{Permit, StartServer};
use crate::app::App;
use crate::db;
use crate::db::servers::{Announced, Server, State, Why};
use crate::db::users::User;
use bounds::Bounds;
use due::{Due, Times, in_words, since};

/// A server that has not answered for so many times `IdleCuller.every` counts as idle: four hours by default.
const UNANSWERED: u32 = 24;
/// A stop that was told comes no later than this.
const PROMPT: Duration = Duration::from_secs(5);

/// Looks every `IdleCuller.every`, and when a stop is due that was told, for ever; first after that time, so that servers
/// that a Hub has adopted can report.
pub async fn cull(app: App) {
    if !may_end(&app) {
        return;
    }
    let culler = &app.config.idle_culler;
    let every = culler.every.max(Duration::from_millis(100));
    let unanswered = Unanswered::new(every);
    let mut pause = every;
    loop {
        tokio::time::sleep(pause).await;
        pause = every;
        if !app.leads.load(Ordering::Relaxed) {
            continue;
        }
        match look(&app, &unanswered).await {
            Ok(next) => pause = since(db::now(), next).clamp(PROMPT.min(every), every),
            Err(error) => error!(%error, "Could not look for servers that are to be stopped"),
        }
    }
}

/// Whether the Hub stops servers at all.
pub fn may_end(app: &App) -> bool {
    app.config.idle_culler.enabled || super::quota::stops_servers(app)
}

/// When the next look is due, if it is before its time.
async fn look(app: &App, unanswered: &Unanswered) -> Result<i64, db::DbError> {
    let culler = &app.config.idle_culler;
    let mut ready = app.db.active_servers().await?;
    unanswered.keep(&ready);
    ready.retain(|server| server.state == State::Ready);
    let bounds = Bounds::of(app, &ready).await?;
    let (next, all) = (AtomicI64::new(i64::MAX), &bounds);
    iter(ready)
        .for_each_concurrent(culler.concurrency.max(1), |server| {
            let next = &next;
            async move {
                let again = look_at(app, &server, all, unanswered).await;
                next.fetch_min(again.unwrap_or(i64::MAX), Ordering::Relaxed);
            }
        })
        .await;
    if culler.enabled && culler.users {
        let users = app.db.users_without_servers().await?;
        iter(users)
            .for_each_concurrent(culler.concurrency.max(1), |user| async move {
                look_at_user(app, &user).await;
            })
            .await;
    }
    Ok(next.into_inner())
}

/// Tells of the end of a server, or stops it; when to look again at the latest.
async fn look_at(
    app: &App,
    listed: &Server,
    bounds: &Bounds,
    unanswered: &Unanswered,
) -> Option<i64> {
    let listed_due = first_end(app, listed, bounds);
    // Of nearly all, this is all that there is to see.
    if listed.announced.is_none() {
        let told_from = listed_due?.told_from();
        if told_from > db::now() {
            return Some(told_from);
        }
    }
    // The list may be old by the time its turn comes: the server was used, stopped or started again meanwhile.
    let server = as_it_is_now(app, listed).await?;
    let (due, now) = (first_end(app, &server, bounds), db::now());
    let Some(due) = due.filter(|due| due.told_from() <= now) else {
        withdraw(app, &server).await;
        return None;
    };
    let within = bounds.limits(app, &server).timeout.unwrap_or_default();
    if !due.is_final {
        if !rests(app, &server, within, unanswered).await {
            withdraw(app, &server).await;
            return None;
        }
        // Its answer may have been long in coming, and somebody has used the server meanwhile.
        let current = as_it_is_now(app, &server).await?;
        if current.last_activity > server.last_activity {
            return Some(now);
        }
    }
    match &server.announced {
        Some(told) if told.at > now => return Some(told.at),
        Some(_) if due.at <= now => {}
        None if due.warning.is_zero() => {}
        _ => return announce(app, &server, &due, now).await,
    }
    stop(app, &server, &due).await;
    None
}

/// The server, unless it has been stopped or started again since.
async fn as_it_is_now(app: &App, server: &Server) -> Option<Server> {
    let found = app.db.server_by_id(server.id).await;
    let found = found.inspect_err(|error| log_db_error(server, "look at a server", error));
    let same = |now: &Server| now.state == State::Ready && now.start_id == server.start_id;
    found.ok().flatten().filter(same)
}

fn first_end(app: &App, server: &Server, bounds: &Bounds) -> Option<Due> {
    // The proxy knows of requests that are not written down yet.
    let proxied = watch::proxied(app, server).unwrap_or_default();
    let started = server.started.unwrap_or_default();
    let active = server.last_activity.unwrap_or(started).max(proxied);
    bounds.due(app, server, Times { started, active }, db::now())
}

/// Whether nothing happens in a server that nobody asks anything.
async fn rests(app: &App, server: &Server, within: Duration, unanswered: &Unanswered) -> bool {
    match activity::ask(app, server, within).await {
        Activity::Some => {
            unanswered.answered(server);
            let written = app.db.server_was_active(server.id, db::now()).await;
            if let Err(error) = written {
                log_db_error(server, "write down that a server is busy", &error);
            }
            false
        }
        Activity::Unknown if unanswered.may_wait(server) => {
            let name = server.full_name();
            warn!(
                server = name,
                "Server {name} does not say whether it is busy and is not culled yet"
            );
            false
        }
        Activity::None | Activity::Unknown => {
            unanswered.answered(server);
            true
        }
    }
}

/// Has the pages and the API tell when a server will be stopped, never sooner than a warning takes.
async fn announce(app: &App, server: &Server, due: &Due, now: i64) -> Option<i64> {
    let told = Announced {
        at: due.at.max(now.saturating_add(due::millis(due.warning))),
        reason: due.reason.clone(),
        is_final: due.is_final,
    };
    let name = server.full_name();
    info!(
        server = name,
        reason = told.reason,
        "Server {name} will be stopped: {}",
        told.reason
    );
    let written = app
        .db
        .announce_stop(server.id, &server.start_id, &told)
        .await;
    match written {
        Ok(()) => Some(told.at),
        Err(error) => {
            log_db_error(server, "write down that a server will be stopped", &error);
            None
        }
    }
}

async fn withdraw(app: &App, server: &Server) {
    if server.announced.is_none() {
        return;
    }
    if let Err(error) = app.db.withdraw_stop(server.id, &server.start_id).await {
        log_db_error(server, "write down that a server goes on", &error);
    }
}

/// Puts off the end of a server that somebody wants to go on, as its use would.
pub async fn keep_running(app: &App, permit: &Permit<StartServer>) -> Result<(), db::DbError> {
    let server = app.db.server(&permit.0.user, &permit.0.server).await?;
    if let Some(server) = server.filter(|server| server.state == State::Ready) {
        app.db.server_was_active(server.id, db::now()).await?;
    }
    Ok(())
}

/// Stops a server, and deletes it where it is to be deleted: this start of it, and no other.
async fn stop(app: &App, server: &Server, due: &Due) {
    let reason = &due.reason;
    info!(server = %server.full_name(), reason, "Culling server {}: {reason}", server.full_name());
    let told = format!("The server was stopped: {reason}");
    let stopping = async {
        let (id, start_id) = (server.id, &*server.start_id);
        // Before the watch can see it as stopping, and finish it undeleted; who stops it already is not in the way.
        let Some(busy) = app.busy.enter_alone(start_id) else {
            return Ok(());
        };
        let from = State::Ready;
        if !app
            .db
            .set_stopping(id, start_id, from, Why::Told(Some(&told)))
            .await?
        {
            return Ok(());
        }
        let removes = due.removes && app.config.idle_culler.remove_named_servers;
        if removes && !server.name.is_empty() {
            app.db.request_removal(id, start_id).await?;
        }
        stopping::finish(app, id, start_id, busy).await;
        Ok::<(), db::DbError>(())
    };
    if let Err(error) = stopping.await {
        log_db_error(server, "stop an idle server", &error);
    }
}

async fn look_at_user(app: &App, user: &User) {
    let culler = &app.config.idle_culler;
    // The next Hub would make those of the configuration anew, without a password.
    let named = app.config.authenticator.admin_users.contains(&user.name);
    if named || (user.admin && !culler.admin_users) {
        return;
    }
    let active = user.last_activity.unwrap_or(user.created);
    let idle = since(active.max(user.created), db::now());
    if idle < culler.users_timeout.0 {
        return;
    }
    let reason = format!(
        "they have not been here for {} (IdleCuller.users_timeout)",
        in_words(idle)
    );
    info!(
        user = user.name,
        reason, "Culling user {}: {reason}", user.name
    );
    // Who has come back meanwhile stays.
    let files = culler.users_files;
    match app.db.remove_user_without_servers(user.id, files).await {
        Ok(true) if files => leftovers::clear(app).await,
        Ok(_) => {}
        Err(error) => error!(user = user.name, %error, "Could not remove a culled user"),
    }
}

/// Servers that do not say whether they are busy, by their starts, and since when.
struct Unanswered {
    patience: Duration,
    starts: Mutex<HashMap<String, Instant>>,
}

impl Unanswered {
    fn new(every: Duration) -> Self {
        Self {
            patience: every * UNANSWERED,
            starts: Mutex::default(),
        }
    }

    /// A server whose computation leaves it no time to answer looks as one that hangs: it is given long.
    fn may_wait(&self, server: &Server) -> bool {
        let mut starts = self.starts();
        let first = starts.entry(server.start_id.clone());
        first.or_insert_with(Instant::now).elapsed() < self.patience
    }

    fn answered(&self, server: &Server) {
        self.starts().remove(&server.start_id);
    }

    /// Forgets those that run no more.
    fn keep(&self, servers: &[Server]) {
        let running: HashSet<_> = servers.iter().map(|server| &server.start_id).collect();
        self.starts().retain(|start, _| running.contains(start));
    }

    fn starts(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
