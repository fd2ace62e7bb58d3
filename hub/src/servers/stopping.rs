//! Stopping servers, and cancelling starts.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{error, info};

use super::{BusyGuard, leftovers, log_db_error, routing, spawner_state};
use crate::access::permit::{Permit, StopServer};
use crate::app::{App, Wake};
use crate::db::servers::{Server, State, Why};
use crate::events::Action;

/// The longest that one stop may take; one that takes longer is tried again by the watch.
const LONGEST_STOP: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Nothing runs any more.
    Stopped,
    /// It goes on in the background.
    Stopping,
    /// Another start has followed, which is nobody's to end.
    StartedAgain,
    /// There is no such server.
    None,
}

/// Stops a server, or cancels its start; waits for the end up to `patience`.
pub async fn stop(
    app: &App,
    permit: &Permit<StopServer>,
    patience: Duration,
) -> Result<Stop, sqlx::Error> {
    match app.db.server(&permit.0.user, &permit.0.server).await? {
        Some(server) => stop_one(app, &server, patience).await,
        None => Ok(Stop::None),
    }
}

/// [`stop`] for somebody who may do more than that, such as deleting the user.
pub(crate) async fn stop_one(
    app: &App,
    server: &Server,
    patience: Duration,
) -> Result<Stop, sqlx::Error> {
    match server.state {
        State::Stopped => return Ok(Stop::Stopped),
        State::Stopping => {}
        State::Pending => {
            // The task of the start sees it and cleans up.
            if !app
                .db
                .set_stopping(
                    server.id,
                    &server.start_id,
                    State::Pending,
                    Why::Otherwise(Some("The start was cancelled")),
                )
                .await?
            {
                begin_stop(app, server).await?;
            }
            app.queue.give_up(&server.start_id);
            app.wake.server(server.id);
        }
        State::Ready => begin_stop(app, server).await?,
    }
    Ok(if timeout(patience, gone(app, server)).await.is_ok() {
        Stop::Stopped
    } else {
        Stop::Stopping
    })
}

/// Stops every server; for the end of the Hub (`JupyterHub.cleanup_servers`).
pub async fn stop_all(app: &App) {
    let servers = match app.db.active_servers().await {
        Ok(servers) => servers,
        Err(error) => return error!(%error, "Could not list the servers that are to be stopped"),
    };
    for server in &servers {
        for from in [State::Ready, State::Pending] {
            if let Err(error) = app
                .db
                .set_stopping(server.id, &server.start_id, from, Why::Otherwise(None))
                .await
            {
                log_db_error(server, "write down that a server stops", &error);
            }
        }
        app.queue.give_up(&server.start_id);
        app.wake.server(server.id);
    }
    let stops = servers.iter().map(|server| async move {
        // A start or stop under way ends by itself now.
        if app.busy.contains(&server.start_id) {
            gone(app, server).await;
        } else {
            finish_now(app, server).await;
        }
    });
    futures_util::future::join_all(stops).await;
}

/// Stops a named server as [`stop`] does and deletes it, with what its spawner keeps for it; where the stop takes longer
/// than `patience`, as soon as it is over.
pub async fn remove(
    app: &App,
    permit: &Permit<StopServer>,
    patience: Duration,
) -> Result<Stop, sqlx::Error> {
    let Some(server) = app.db.server(&permit.0.user, &permit.0.server).await? else {
        return Ok(Stop::None);
    };
    let running = server.state != State::Stopped;
    if running && app.db.request_removal(server.id, &server.start_id).await? {
        return stop_one(app, &server, patience).await;
    }
    if app.db.remove_server(server.id).await? {
        leftovers::clear(app).await;
        return Ok(Stop::Stopped);
    }
    // Somebody was faster: it is deleted already, or has been started again.
    Ok(match app.db.server_by_id(server.id).await? {
        Some(_) => Stop::StartedAgain,
        None => Stop::Stopped,
    })
}

/// Waits until a start is over, for so long; the server as it is then.
pub async fn started(
    app: &App,
    server: &Server,
    patience: Duration,
) -> Result<Option<Server>, sqlx::Error> {
    let mut changes = app.wake.subscribe(server.id);
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        let now = app.db.server_by_id(server.id).await?;
        let pending = now
            .as_ref()
            .is_some_and(|now| now.state == State::Pending && now.start_id == server.start_id);
        if !pending || tokio::time::Instant::now() >= deadline {
            return Ok(now);
        }
        let _ = tokio::time::timeout_at(deadline, Wake::wait(&mut changes)).await;
    }
}

/// Returns when the server, or this start of it, is no longer stopping.
async fn gone(app: &App, server: &Server) {
    let mut changes = app.wake.subscribe(server.id);
    loop {
        match app.db.server_by_id(server.id).await {
            Ok(Some(now)) if now.state == State::Stopping && now.start_id == server.start_id => {}
            Ok(_) => return,
            // A database that fails for a moment has stopped nothing.
            Err(error) => log_db_error(server, "look whether a server has stopped", &error),
        }
        Wake::wait(&mut changes).await;
    }
}

async fn begin_stop(app: &App, server: &Server) -> Result<(), sqlx::Error> {
    if app
        .db
        .set_stopping(server.id, &server.start_id, State::Ready, Why::Told(None))
        .await?
    {
        let (app, server) = (app.clone(), server.clone());
        let busy = app.busy.enter(&server.start_id);
        tokio::spawn(async move { finish(&app, server.id, &server.start_id, busy).await });
    }
    Ok(())
}

/// Writes down that a server is over, and why, and ends what is left of it.
pub(super) async fn end_because(app: &App, server: &Server, from: State, reason: &str) {
    match app
        .db
        .set_stopping(
            server.id,
            &server.start_id,
            from,
            Why::Otherwise(Some(reason)),
        )
        .await
    {
        // Also where another task was first: its end is this one's.
        Ok(_) => finish_now(app, server).await,
        Err(error) => log_db_error(server, "write down that a server is over", &error),
    }
}

/// [`finish`] by a task that has nothing under way for this server yet.
pub(super) async fn finish_now(app: &App, server: &Server) {
    let busy = app.busy.enter(&server.start_id);
    finish(app, server.id, &server.start_id, busy).await;
}

/// Ends what runs of a server that is written down as stopping, revokes its tokens and writes down that it is
/// stopped. What fails here is tried again by the watch.
pub(super) async fn finish(app: &App, id: i64, start_id: &str, _busy: BusyGuard) {
    let server = match app.db.server_by_id(id).await {
        Ok(Some(server)) => server,
        Ok(None) => {
            end_unknown(app, start_id).await;
            return;
        }
        Err(error) => {
            error!(%error, start_id, "Could not look at a server that stops; trying again later");
            return;
        }
    };
    if server.state != State::Stopping || server.start_id != start_id {
        return;
    }
    let begun = Instant::now();
    routing::close(app, &server.prefix).await;
    let ended = timeout(LONGEST_STOP, end(app, &server)).await;
    let well = matches!(ended, Ok(Ok(())));
    app.metrics.stopped(well, begun.elapsed());
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(cause)) => {
            let cause = crate::chain::chain(&cause);
            error!(server = %server.full_name(), cause, "Could not stop a server; trying again later");
            return;
        }
        Err(_) => {
            error!(server = %server.full_name(), "Stopping a server takes too long; trying again later");
            return;
        }
    }
    match app.db.set_stopped(id, start_id).await {
        Ok(stopped) => {
            info!(server = %server.full_name(), "Server {} has stopped", server.full_name());
            if stopped.told {
                app.events.server(Action::Stop, &server);
            }
            if stopped.removed {
                leftovers::clear(app).await;
            }
        }
        Err(error) => {
            log_db_error(&server, "write down that a server has stopped", &error);
        }
    }
    app.wake.server(id);
}

/// Ends what may run of a start whose server is not known any more.
async fn end_unknown(app: &App, start_id: &str) {
    let ended = async {
        match app.spawner.find(start_id).await? {
            Some(state) => app.spawner.stop(&state).await,
            None => Ok(()),
        }
    };
    if let Err(cause) = ended.await {
        let cause = crate::chain::chain(&cause);
        error!(
            start_id,
            cause, "Could not end what is left of a deleted server"
        );
    }
}

/// Ends the server by its state, or finds it by its start where no state was saved.
pub(super) async fn end(app: &App, server: &Server) -> Result<(), carrel_spawner::Error> {
    let state = match spawner_state(server) {
        Some(state) => Some(state),
        None => app.spawner.find(&server.start_id).await?,
    };
    match state {
        Some(state) => app.spawner.stop(&state).await,
        None => Ok(()),
    }
}
