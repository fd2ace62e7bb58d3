//! Servers of a Hub that is gone: at its start a Hub adopts those that run, and at any time it goes on with what one that
//! died was doing.

use std::time::Duration;

use carrel_spawner::{SpawnerState, Started};
use futures_util::future::join_all;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};
use url::Url;

use super::queue::Place;
use super::{BusyGuard, hubs, log_db_error, routing, spawner_state, starting, stopping, watch};
use crate::app::App;
use crate::db;
use crate::db::servers::{Server, State, Why};

/// How long the Hub waits for its spawner before it listens; what takes longer goes on afterwards.
const BEFORE_LISTENING: Duration = Duration::from_secs(10);
/// Until a spawner that did not answer is asked again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How often one looks for what a dead Hub has left.
const LOOK: Duration = Duration::from_secs(2);

/// Runs before the Hub listens, so that an open notebook that reconnects finds its route. Returns the number of
/// servers adopted.
pub async fn reconcile(app: &App) -> Result<usize, sqlx::Error> {
    let mut servers = app.db.active_servers().await?;
    servers.retain(|server| server.state == State::Ready);
    let (waiting, abandoned): (Vec<_>, Vec<_>) = take(app)
        .await?
        .into_iter()
        .partition(|server| server.waits);
    servers.extend(abandoned);
    let adopted = adopt_all(app, servers).await;
    // After those that are under way already.
    for server in waiting {
        begin_anew(app, &server).await;
    }
    Ok(adopted)
}

/// Takes over what a Hub that died was doing, for ever.
pub async fn take_over(app: App) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let servers = match take(&app).await {
            Ok(servers) => servers,
            Err(error) => {
                error!(%error, "Could not look for what a dead Hub has left");
                continue;
            }
        };
        for server in servers {
            if server.waits {
                begin_anew(&app, &server).await;
            } else {
                let app = app.clone();
                tokio::spawn(async move { adopt(&app, server).await });
            }
        }
    }
}

/// The starts and stops that are this Hub's from now on.
async fn take(app: &App) -> db::Result<Vec<Server>> {
    let mut taken = Vec::new();
    for mut server in app.db.abandoned_servers().await? {
        // A Hub that could not renew its lease for long finds its own here.
        if server.worker == app.db.hub() {
            continue;
        }
        match app.db.take_over(&server).await {
            Ok(true) => {}
            Ok(false) => continue,
            // Those that are taken already belong to nobody else.
            Err(error) => {
                log_db_error(&server, "take over what a dead Hub has left", &error);
                break;
            }
        }
        server.worker = app.db.hub().to_owned();
        taken.push(server);
    }
    Ok(taken)
}

async fn adopt_all(app: &App, servers: Vec<Server>) -> usize {
    // All at once, where the spawner can: a look at each would be a request for each.
    if !servers.is_empty() {
        app.spawner.settle().await;
    }
    let tasks = servers.into_iter().map(|server| {
        let app = app.clone();
        tokio::spawn(async move { adopt(&app, server).await })
    });
    let adopted = timeout(BEFORE_LISTENING, join_all(tasks.collect::<Vec<_>>())).await;
    let Ok(adopted) = adopted else {
        warn!("Looking for the servers of the last run takes long; listening meanwhile");
        return 0;
    };
    adopted
        .into_iter()
        .filter(|adopted| matches!(adopted, Ok(true)))
        .count()
}

/// A start of which nothing was asked of the spawner, or nothing came of it: it waits for its turn again.
async fn begin_anew(app: &App, server: &Server) {
    match super::begin_anew(app, server).await {
        Ok(true) => {
            info!(server = %server.full_name(), "The start of {} begins anew", server.full_name());
        }
        Ok(false) => {}
        Err(error) => {
            let busy = app.busy.enter(&server.start_id);
            end(app, server, &crate::chain::chain(&error), busy).await;
        }
    }
}

/// Takes a server over; false where it is gone or was to stop.
async fn adopt(app: &App, server: Server) -> bool {
    let busy = app.busy.enter(&server.start_id);
    match server.state {
        State::Stopped => return false,
        State::Stopping => {
            let app = app.clone();
            tokio::spawn(
                async move { stopping::finish(&app, server.id, &server.start_id, busy).await },
            );
            return false;
        }
        State::Pending => return go_on(app, server, busy).await,
        State::Ready => {}
    }
    let started = match find(app, &server).await {
        Ok(started) => started,
        Err(reason) => {
            let (first, _) = super::split_failure(&reason);
            info!(server = %server.full_name(), reason = first, "Server {} ended while no Hub ran", server.full_name());
            end(app, &server, &reason, busy).await;
            return false;
        }
    };
    info!(server = %server.full_name(), url = %started.url, "Server {} is adopted", server.full_name());
    let app = app.clone();
    if let Err(error) = routing::open(&app, &server, &started.url).await {
        warn!(%error, "Could not route to an adopted server");
    }
    tokio::spawn(async move { check(&app, &server, &started).await });
    true
}

/// Takes a start over that was under way; false where nothing of it is left.
async fn go_on(app: &App, server: Server, busy: BusyGuard) -> bool {
    let place = app.queue.adopt(&server.start_id);
    match app.spawner.find(&server.start_id).await {
        Ok(found) => follow(app, server, found, place, busy).await,
        // What cannot be looked at just now is not gone.
        Err(error) => {
            warn_unreachable(&server, &error);
            let app = app.clone();
            tokio::spawn(async move { find_later(&app, server, place, busy).await });
            true
        }
    }
}

async fn follow(
    app: &App,
    server: Server,
    found: Option<SpawnerState>,
    place: Place,
    busy: BusyGuard,
) -> bool {
    let Some(state) = found else {
        begin_anew(app, &server).await;
        return false;
    };
    info!(server = %server.full_name(), "The start of {} goes on", server.full_name());
    let app = app.clone();
    tokio::spawn(async move { starting::resume(&app, &server, state, place, busy).await });
    true
}

/// Asks the spawner until it answers, at most as long as a start may take.
async fn find_later(app: &App, server: Server, place: Place, busy: BusyGuard) {
    let deadline = Instant::now() + app.config.spawner.start_timeout;
    loop {
        sleep(LOOK_AGAIN).await;
        match app.spawner.find(&server.start_id).await {
            Ok(found) => {
                follow(app, server, found, place, busy).await;
                return;
            }
            Err(error) if Instant::now() >= deadline => {
                let reason = crate::chain::chain(&error);
                return end(app, &server, &reason, busy).await;
            }
            Err(error) => warn_unreachable(&server, &error),
        }
        // A start that was cancelled meanwhile is ended by the watch, once nothing is under way here.
        match app.db.server_by_id(server.id).await {
            Ok(Some(now)) if now.state == State::Pending && now.start_id == server.start_id => {}
            Err(error) => log_db_error(&server, "look whether a start is still wanted", &error),
            Ok(_) => return,
        }
    }
}

fn warn_unreachable(server: &Server, error: &carrel_spawner::Error) {
    let cause = crate::chain::chain(error);
    warn!(server = %server.full_name(), cause, "Could not look for a start of the last run; trying again");
}

async fn end(app: &App, server: &Server, reason: &str, busy: BusyGuard) {
    if let Err(error) = app
        .db
        .set_stopping(
            server.id,
            &server.start_id,
            server.state,
            Why::Otherwise(Some(reason)),
        )
        .await
    {
        log_db_error(server, "write down that a server ended", &error);
    }
    stopping::finish(app, server.id, &server.start_id, busy).await;
}

/// Where a ready server runs; otherwise why it does not.
async fn find(app: &App, server: &Server) -> Result<Started, String> {
    let url = server.url.as_deref().and_then(|url| Url::parse(url).ok());
    let (Some(state), Some(url)) = (spawner_state(server), url) else {
        return Err(String::from("It is not known where the server runs"));
    };
    match watch::reason_of_death(app, server).await {
        // Looking may have found another address.
        None => Ok(match app.db.server_by_id(server.id).await {
            Ok(Some(now)) => Started {
                url: now.url.and_then(|url| Url::parse(&url).ok()).unwrap_or(url),
                state: now.spawner_state.map_or(state, SpawnerState),
            },
            _ => Started { url, state },
        }),
        Some(reason) => Err(reason),
    }
}

/// A process that lives but no longer answers is of no use: it is stopped, as JupyterHub does.
async fn check(app: &App, server: &Server, started: &Started) {
    let limit = app.config.spawner.http_timeout;
    let answer = super::answer::wait(
        &*app.spawner,
        &started.state,
        &started.url,
        &server.prefix,
        limit,
    )
    .await;
    let Err(failed) = answer else { return };
    let reason = crate::chain::chain(&failed);
    let (first, _) = super::split_failure(&reason);
    // It may be this Hub alone that does not reach it, as before a network policy is in force.
    if !hubs::is_alone(app).await {
        warn!(server = %server.full_name(), reason = first, "An adopted server does not answer this Hub; others serve it");
        return;
    }
    warn!(server = %server.full_name(), reason = first, "An adopted server does not answer and is stopped");
    match app
        .db
        .set_stopping(
            server.id,
            &server.start_id,
            State::Ready,
            Why::Otherwise(Some(&reason)),
        )
        .await
    {
        Ok(true) => stopping::finish_now(app, server).await,
        Ok(false) => {}
        Err(error) => log_db_error(server, "write down that a server does not answer", &error),
    }
}
