//! Idle culling: ends servers in which nothing has happened for long, and removes users who do not come any more, with
//! the meaning that jupyterhub-idle-culler gives to its options. A kernel that computes counts as something happening.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::activity::{self, Activity};
use super::{leftovers, log_db_error, stopping, watch};
use crate::app::App;
use crate::config::IdleCuller;
use crate::db;
use crate::db::servers::{Server, State};
use crate::db::users::User;

/// After so many looks in a row that a server did not answer, it counts as idle: four hours by default.
const UNANSWERED: u32 = 24;

/// Looks every `IdleCuller.every`, for ever; first after that time, so that servers that a Hub has adopted can report.
pub async fn cull(app: App) {
    let culler = &app.config.idle_culler;
    if !culler.enabled {
        return;
    }
    let mut ticks = interval(culler.every.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let unanswered = Unanswered::default();
    loop {
        ticks.tick().await;
        if !app.leads.load(Ordering::Relaxed) {
            continue;
        }
        if let Err(error) = look(&app, &unanswered).await {
            error!(%error, "Could not look for idle servers");
        }
    }
}

async fn look(app: &App, unanswered: &Unanswered) -> Result<(), db::DbError> {
    let culler = &app.config.idle_culler;
    let servers = app.db.active_servers().await?;
    unanswered.keep(&servers);
    let ready = servers
        .into_iter()
        .filter(|server| server.state == State::Ready);
    iter(ready)
        .for_each_concurrent(culler.concurrency.max(1), |server| async move {
            look_at(app, &server, unanswered).await;
        })
        .await;
    if culler.users {
        let users = app.db.users_without_servers().await?;
        iter(users)
            .for_each_concurrent(culler.concurrency.max(1), |user| async move {
                look_at_user(app, &user).await;
            })
            .await;
    }
    Ok(())
}

async fn look_at(app: &App, listed: &Server, unanswered: &Unanswered) {
    // The list may be old by the time its turn comes: the server was used, stopped or started again meanwhile.
    let server = match app.db.server_by_id(listed.id).await {
        Ok(Some(now)) if now.state == State::Ready && now.start_id == listed.start_id => now,
        Ok(_) => return,
        Err(error) => return log_db_error(listed, "look at a server", &error),
    };
    let culler = &app.config.idle_culler;
    // The proxy knows of requests that are not written down yet.
    let proxied = watch::proxied(app, &server).unwrap_or_default();
    let active = server.last_activity.or(server.started).unwrap_or_default();
    let times = Times::until_now(server.started.unwrap_or_default(), active.max(proxied));
    let Some(reason) = times.reason(culler) else {
        return;
    };
    if times.age_is_fine(culler) {
        match activity::ask(app, &server, culler.timeout.0).await {
            Activity::Some => {
                unanswered.answered(&server);
                let written = app.db.server_was_active(server.id, db::now()).await;
                if let Err(error) = written {
                    log_db_error(&server, "write down that a server is busy", &error);
                }
                return;
            }
            Activity::Unknown if unanswered.may_wait(&server) => {
                let name = server.full_name();
                warn!(
                    server = name,
                    "Server {name} does not say whether it is busy and is not culled yet"
                );
                return;
            }
            Activity::None | Activity::Unknown => unanswered.answered(&server),
        }
    }
    stop(app, &server, &reason).await;
}

/// Stops a server, and deletes it where it is to be deleted: this start of it, and no other.
async fn stop(app: &App, server: &Server, reason: &str) {
    info!(server = %server.full_name(), reason, "Culling server {}: {reason}", server.full_name());
    let told = format!("The server was stopped: {reason}");
    let stopping = async {
        let (id, start_id) = (server.id, &*server.start_id);
        let from = State::Ready;
        if !app.db.set_stopping(id, start_id, from, Some(&told)).await? {
            return Ok(());
        }
        if app.config.idle_culler.remove_named_servers && !server.name.is_empty() {
            app.db.request_removal(id, start_id).await?;
        }
        stopping::finish_now(app, server).await;
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
    let idle = Times::until_now(user.created, active).idle;
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

/// How long something has been there, and for how long nothing has happened in it.
#[derive(Debug, Clone, Copy)]
struct Times {
    age: Duration,
    idle: Duration,
}

impl Times {
    fn until_now(since: i64, active: i64) -> Self {
        let now = db::now();
        let span = |from: i64| {
            Duration::from_millis(now.saturating_sub(from).try_into().unwrap_or_default())
        };
        Self {
            age: span(since),
            idle: span(active.max(since)),
        }
    }

    /// Why it is to end; nothing where it may go on.
    fn reason(self, culler: &IdleCuller) -> Option<String> {
        if !self.age_is_fine(culler) {
            let age = in_words(self.age);
            return Some(format!("it is {age} old (IdleCuller.max_age)"));
        }
        (self.idle >= culler.timeout.0).then(|| {
            let idle = in_words(self.idle);
            format!("nothing has happened in it for {idle} (IdleCuller.timeout)")
        })
    }

    fn age_is_fine(self, culler: &IdleCuller) -> bool {
        culler.max_age.0.is_zero() || self.age < culler.max_age.0
    }
}

fn in_words(span: Duration) -> String {
    match span.as_secs() {
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds @ ..7200 => format!("{} minutes", seconds / 60),
        seconds @ ..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Servers that did not say whether they are busy, by their starts, and how often in a row.
#[derive(Default)]
struct Unanswered(Mutex<HashMap<String, u32>>);

impl Unanswered {
    /// A server whose computation leaves it no time to answer looks as one that hangs: it is given many rounds.
    fn may_wait(&self, server: &Server) -> bool {
        let mut starts = self.starts();
        let rounds = starts.entry(server.start_id.clone()).or_default();
        *rounds += 1;
        *rounds < UNANSWERED
    }

    fn answered(&self, server: &Server) {
        self.starts().remove(&server.start_id);
    }

    /// Forgets those that run no more.
    fn keep(&self, servers: &[Server]) {
        let running: HashSet<_> = servers.iter().map(|server| &server.start_id).collect();
        self.starts().retain(|start, _| running.contains(start));
    }

    fn starts(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(age: u64, idle: u64, max_age: u64) -> Option<String> {
        let culler = IdleCuller {
            timeout: Duration::from_secs(3600).into(),
            max_age: Duration::from_secs(max_age).into(),
            ..IdleCuller::default()
        };
        let [age, idle] = [age, idle].map(Duration::from_secs);
        Times { age, idle }.reason(&culler)
    }

    #[test]
    fn what_is_idle_or_old_is_to_end() {
        assert_eq!(reason(9_000_000, 3599, 0), None);
        assert_eq!(
            reason(9000, 3600, 0).as_deref(),
            Some("nothing has happened in it for 60 minutes (IdleCuller.timeout)")
        );
        assert_eq!(reason(86_399, 0, 86_400), None);
        assert_eq!(
            reason(86_400, 0, 86_400).as_deref(),
            Some("it is 24 hours old (IdleCuller.max_age)")
        );
    }

    #[test]
    fn what_never_reported_counts_from_its_start() {
        let times = Times::until_now(db::now() - 10_000, 0);
        assert_eq!(times.age, times.idle);
    }
}
