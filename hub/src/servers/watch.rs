//! The background look at all servers: dead ones are noticed, unfinished stops finished, activity written down.

use std::collections::HashSet;
use std::time::Duration;

use carrel_spawner::{Poll, SpawnerState};
use futures_util::StreamExt as _;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};
use url::Url;

use super::{leftovers, log_db_error, routing, spawner_state, split_failure, stopping};
use crate::app::App;
use crate::db;
use crate::db::servers::{Server, State};

/// How many servers are looked at at once.
const LOOKS: usize = 16;

/// Looks every `Spawner.poll_interval`, for ever.
pub async fn watch(app: App) {
    let mut ticks = interval(
        app.config
            .spawner
            .poll_interval
            .max(Duration::from_millis(100)),
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        look(&app).await;
    }
}

/// Looks at once at servers that end by themselves, where the spawner hears of it.
pub async fn heed(app: App) {
    let Some(mut ended) = app.spawner.ended() else {
        return;
    };
    loop {
        match ended.recv().await {
            Ok(start_id) => drop(tokio::spawn(look_at_start(app.clone(), start_id))),
            // The next round of the watch looks at all.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => {
                return error!(
                    "The spawner tells no more of servers that end; looking at intervals only"
                );
            }
        }
    }
}

async fn look_at_start(app: App, start_id: String) {
    look_if_ready(&app, app.db.server_of_start(&start_id).await).await;
}

async fn look(app: &App) {
    if let Err(error) = app.db.purge_expired().await {
        error!(%error, "Could not remove expired sessions and tokens");
    }
    let servers = match app.db.active_servers().await {
        Ok(servers) => servers,
        Err(error) => return error!(%error, "Could not list the servers"),
    };
    // A spawner that does not answer must not hold up all for as long as it holds up each.
    let looks = futures_util::stream::iter(&servers);
    looks
        .for_each_concurrent(LOOKS, |server| look_after(app, server))
        .await;
    end_lost_servers(app, &servers).await;
    leftovers::clear(app).await;
}

async fn look_after(app: &App, server: &Server) {
    match server.state {
        State::Ready => {
            record_activity(app, server).await;
            alive(app, server).await;
        }
        // What another Hub has under way is its own, until it is dead.
        _ if server.worker != app.db.hub() || app.busy.contains(&server.start_id) => {}
        State::Stopping => stopping::finish_now(app, server).await,
        State::Pending => end_lost_start(app, server).await,
        State::Stopped => {}
    }
}

/// Ends what runs although it is written down as stopped: a Hub was killed between asking for it and knowing of it.
/// What the database knows nothing of belongs to another Hub. It is asked only about what runs and is not among the
/// `active`, all at once: however many servers run, a round costs no more.
async fn end_lost_servers(app: &App, active: &[Server]) {
    let mut running = match timeout(Duration::from_secs(60), app.spawner.running()).await {
        Ok(Ok(running)) => running,
        Ok(Err(cause)) => {
            let cause = crate::chain::chain(&cause);
            return warn!(cause, "Could not list the servers that run");
        }
        Err(_) => return,
    };
    let active: HashSet<&str> = active.iter().map(|server| &*server.start_id).collect();
    running.retain(|start_id| !active.contains(&**start_id) && !app.busy.contains(start_id));
    let lost = match app.db.stopped_servers_of(&running).await {
        Ok(lost) => lost,
        Err(error) => return error!(%error, "Could not look for lost servers"),
    };
    for server in lost {
        warn!(server = %server.full_name(), start_id = server.start_id, "A lost server of {} is ended", server.full_name());
        if let Err(cause) = stopping::end(app, &server).await {
            let cause = crate::chain::chain(&cause);
            error!(cause, "Could not end a lost server; trying again later");
        }
    }
}

/// Looks at once at the server of a route that did not answer, instead of at the next round.
pub async fn look_at(app: App, prefix: String) {
    look_if_ready(&app, app.db.server_at(&prefix).await).await;
}

async fn look_if_ready(app: &App, found: db::Result<Option<Server>>) {
    match found {
        Ok(Some(server)) if server.state == State::Ready => {
            alive(app, &server).await;
        }
        Ok(_) => {}
        Err(error) => error!(%error, "Could not look at a server that may have ended"),
    }
}

/// A start whose Hub is gone, and that would long be over if one went on with it.
async fn end_lost_start(app: &App, server: &Server) {
    let spawner = &app.config.spawner;
    let longest = spawner.start_timeout + spawner.http_timeout + Duration::from_secs(60);
    let age = db::now().saturating_sub(server.started.unwrap_or_default());
    if u128::from(age.cast_unsigned()) < longest.as_millis() {
        return;
    }
    let reason = "The start was lost";
    stopping::end_because(app, server, State::Pending, reason).await;
}

/// Whether a ready server still lives; one that does not is written down as stopped, with the reason.
pub(super) async fn alive(app: &App, server: &Server) -> bool {
    let reason = match reason_of_death(app, server).await {
        Some(reason) => reason,
        None => return true,
    };
    let (first, _) = split_failure(&reason);
    warn!(server = %server.full_name(), reason = first, "Server {} has died", server.full_name());
    stopping::end_because(app, server, State::Ready, &reason).await;
    false
}

/// `None` for a server that lives, and for one that cannot be looked at just now.
pub(super) async fn reason_of_death(app: &App, server: &Server) -> Option<String> {
    let Some(state) = spawner_state(server) else {
        return Some(String::from("It is not known where the server runs"));
    };
    let begun = Instant::now();
    let polled = timeout(Duration::from_secs(10), app.spawner.poll(&state)).await;
    if let Ok(Ok(poll)) = &polled {
        let runs = !matches!(poll, Poll::Stopped { .. });
        app.metrics.looked(runs, begun.elapsed());
    }
    match polled {
        Ok(Ok(Poll::Running)) => None,
        Ok(Ok(Poll::Moved { url, state })) => {
            follow_to(app, server, url, &state).await;
            None
        }
        Ok(Ok(Poll::Stopped { reason })) => Some(reason),
        Ok(Err(cause @ carrel_spawner::Error::State(_))) => Some(cause.to_string()),
        Ok(Err(cause)) => {
            let cause = crate::chain::chain(&cause);
            error!(server = %server.full_name(), cause, "Could not look whether a server runs");
            None
        }
        Err(_) => None,
    }
}

/// Leads the route of a server to its new address.
async fn follow_to(app: &App, server: &Server, url: Url, state: &SpawnerState) {
    info!(server = %server.full_name(), %url, "Server {} has another address now", server.full_name());
    let moved = app
        .db
        .set_moved(server.id, &server.start_id, url.as_str(), &state.0);
    match moved.await {
        Ok(true) => {
            if let Err(error) = routing::open(app, server, &url).await {
                warn!(%error, "Could not route to a server that has moved");
            }
        }
        Ok(false) => {}
        Err(error) => log_db_error(server, "write down where a server has moved", &error),
    }
}

/// When the proxy last led a request to a server, in milliseconds.
pub(super) fn proxied(app: &App, server: &Server) -> Option<i64> {
    app.routing.proxy.last_used(&server.prefix)
}

/// The proxy knows in memory when a route was last used; the database keeps it.
async fn record_activity(app: &App, server: &Server) {
    let Some(at) = proxied(app, server) else {
        return;
    };
    if server.last_activity.is_some_and(|last| last >= at) {
        return;
    }
    let written = async {
        app.db.server_was_active(server.id, at).await?;
        app.db.user_was_active(server.user_id, at).await
    };
    if let Err(error) = written.await {
        log_db_error(server, "write down the activity of a server", &error);
    }
}
