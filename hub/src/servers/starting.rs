//! The life of one start: spawner, first answer, route, ready; or what went wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use carrel_spawner::{SpawnerState, StartEvent, StartRequest, Started};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::answer::{self, NotReady};
use super::queue::{Place, Turn};
use super::{BegunStart, BusyGuard, log_db_error, routing, stopping};
use crate::app::{App, Wake};
use crate::db::progress::ProgressRow;
use crate::db::servers::{Server, State};
use crate::events::Action;

/// After so long the next start has its turn, even where the spawner has not handed this server over: a cluster that
/// answers slowly must not hold up everybody for as long as it holds up each.
const LONGEST_TURN: Duration = Duration::from_secs(2);
/// How long a database may be away while a start becomes ready.
const DATABASE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Spawner(String),
    #[error(
        "The server did not start within {seconds} seconds (Spawner.start_timeout); the last news: {news}"
    )]
    TooSlow { seconds: u64, news: String },
    #[error(transparent)]
    NotReady(#[from] NotReady),
    #[error("The start was cancelled")]
    Cancelled,
    #[error("could not use the database")]
    Db(#[from] sqlx::Error),
    #[error("could not route to the server")]
    Route(#[from] crate::proxy::ProxyError),
}

/// Carries out a start that is written down.
pub(super) fn spawn(app: &App, begun: BegunStart) {
    let app = app.clone();
    tokio::spawn(async move {
        let BegunStart {
            server,
            environment,
            place,
            _busy: busy,
        } = begun;
        let mut progress = Progress::new(&app, &server);
        let work = async {
            // It goes with the work: nobody waits for the clean-up of a start that is given up.
            let mut place = place;
            let request = request(&app, &server, environment).await?;
            let turn = place.turn().await.ok_or(Failed::Cancelled)?;
            progress.report(0, "Server requested").await;
            run_spawner(&app, &server, &mut progress, &turn, |events| {
                app.spawner.start(&request, events)
            })
            .await
        };
        carry_out(&app, &server, work, busy).await;
    });
}

async fn request(
    app: &App,
    server: &Server,
    environment: BTreeMap<String, String>,
) -> crate::db::Result<StartRequest> {
    Ok(StartRequest {
        user: server.user.clone(),
        server: server.spawner_name.clone(),
        prefix: server.prefix.clone(),
        environment,
        groups: app.db.groups_of(server.user_id).await?,
        user_options: server.user_options.clone(),
        start_id: server.start_id.clone(),
        before: server.last_state.clone().map(SpawnerState),
    })
}

/// Goes on with the start of another Hub, whose spawner has left `state`.
pub(super) async fn resume(
    app: &App,
    server: &Server,
    state: SpawnerState,
    place: Place,
    busy: BusyGuard,
) {
    let told = app.db.progress_after(&server.start_id, 0).await;
    let mut progress = Progress::new(app, server);
    if let Some(last) = told.ok().and_then(|mut rows| rows.pop()) {
        progress.row = last;
    }
    let work = async {
        let mut place = place;
        let environment = super::further_environment(app, server).await?;
        let request = request(app, server, environment.ok_or(Failed::Cancelled)?).await?;
        let turn = place.turn().await.ok_or(Failed::Cancelled)?;
        run_spawner(app, server, &mut progress, &turn, |events| {
            let (state, request) = (state.clone(), request.clone());
            async move { app.spawner.resume(&state, &request, events).await }
        })
        .await
    };
    carry_out(app, server, work, busy).await;
}

/// From the spawner's work to a server that is ready, or to the reason why it is not.
async fn carry_out(
    app: &App,
    server: &Server,
    work: impl Future<Output = Result<Started, Failed>>,
    busy: BusyGuard,
) {
    let started = tokio::select! {
        started = work => started,
        () = cancelled(app, server) => Err(Failed::Cancelled),
    };
    match started {
        Ok(started) => follow(app, server, started, busy).await,
        Err(failed) => fail(app, server, failed, busy).await,
    }
}

/// Waits for the first answer of a server that runs and makes it ready.
async fn follow(app: &App, server: &Server, started: Started, busy: BusyGuard) {
    let outcome = tokio::select! {
        outcome = make_ready(app, server, &started) => outcome,
        () = cancelled(app, server) => Err(Failed::Cancelled),
    };
    match outcome {
        Ok(()) => {
            info!(server = %server.full_name(), url = %started.url, "Server {} is ready", server.full_name());
            app.wake.server(server.id);
            app.metrics.started(true, server.started);
            app.events.server(Action::Start, server);
        }
        Err(failed) => fail(app, server, failed, busy).await,
    }
}

async fn make_ready(app: &App, server: &Server, started: &Started) -> Result<(), Failed> {
    let limit = app.config.spawner.http_timeout;
    answer::wait(
        &*app.spawner,
        &started.state,
        &started.url,
        &server.prefix,
        limit,
    )
    .await?;
    routing::open(app, server, &started.url).await?;
    let (id, start_id) = (server.id, &*server.start_id);
    let ready = || app.db.set_ready(id, start_id, started.url.as_str());
    if patiently(server, "write down that it is ready", ready).await? {
        return Ok(());
    }
    let look = || app.db.server_by_id(id);
    let now = patiently(server, "look whether it is ready", look).await?;
    // Another Hub, which had taken this one for dead, may have done the same.
    if now.is_some_and(|now| now.state == State::Ready && now.start_id == start_id) {
        return Ok(());
    }
    routing::close(app, &server.prefix).await;
    Err(Failed::Cancelled)
}

/// Tries again, for a minute, what the database refuses while another takes its place: what was started is not to be lost
/// for that.
async fn patiently<T, F: Future<Output = crate::db::Result<T>>>(
    server: &Server,
    attempted: &str,
    act: impl Fn() -> F,
) -> crate::db::Result<T> {
    let deadline = Instant::now() + DATABASE;
    loop {
        match act().await {
            Err(error) if Instant::now() < deadline => {
                log_db_error(server, &format!("{attempted}; trying again"), &error);
                sleep(Duration::from_secs(1)).await;
            }
            done => return done,
        }
    }
}

async fn run_spawner<S>(
    app: &App,
    server: &Server,
    progress: &mut Progress<'_>,
    turn: &Turn<'_>,
    start: impl FnOnce(UnboundedSender<StartEvent>) -> S,
) -> Result<Started, Failed>
where
    S: Future<Output = Result<Started, carrel_spawner::Error>>,
{
    let (sender, events) = unbounded_channel();
    let (told, to_record) = unbounded_channel();
    let limit = app.config.spawner.start_timeout;
    let start = timeout(limit, start(sender));
    // All run to their end: the channels close when the start is over.
    let (started, (), ()) = tokio::join!(
        start,
        take_turn(turn, events, told),
        record(app, server, to_record, progress)
    );
    let started = started.map_err(|_| Failed::TooSlow {
        seconds: limit.as_secs(),
        news: progress.row.message.clone(),
    })?;
    let started = started.map_err(|error| Failed::Spawner(crate::chain::chain(&error)))?;
    let (id, start_id, state) = (server.id, &*server.start_id, &started.state.0);
    let save = || app.db.save_spawner_state(id, start_id, state);
    patiently(server, "write down where it runs", save).await?;
    progress
        .report(80, "Waiting for the server to answer")
        .await;
    Ok(started)
}

/// Ends the start's turn when the server is handed over, and passes all else on: the turn does not wait until that is
/// written down.
async fn take_turn(
    turn: &Turn<'_>,
    mut events: UnboundedReceiver<StartEvent>,
    told: UnboundedSender<StartEvent>,
) {
    let mut longest = std::pin::pin!(sleep(LONGEST_TURN));
    let mut over = false;
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = &mut longest, if !over => Some(StartEvent::HandedOver),
        };
        match event {
            Some(StartEvent::HandedOver) => {
                turn.pass_on();
                over = true;
            }
            Some(event) => {
                let _ = told.send(event);
            }
            None => break,
        }
    }
    turn.pass_on();
}

/// Writes down what the spawner reports, state above all: with it the server is found after a crash.
async fn record(
    app: &App,
    server: &Server,
    mut events: UnboundedReceiver<StartEvent>,
    progress: &mut Progress<'_>,
) {
    while let Some(event) = events.recv().await {
        match event {
            StartEvent::Progress {
                progress: percent,
                message,
            } => progress.report(percent, &message).await,
            StartEvent::State(SpawnerState(state)) => {
                if let Err(error) = app
                    .db
                    .save_spawner_state(server.id, &server.start_id, &state)
                    .await
                {
                    log_db_error(server, "save where a server runs", &error);
                }
            }
            StartEvent::HandedOver => {}
        }
    }
}

/// Returns when the database says that this start is no longer wanted. Ready is what the start itself made of it.
async fn cancelled(app: &App, server: &Server) {
    let mut changes = app.wake.subscribe(server.id);
    loop {
        match app.db.server_by_id(server.id).await {
            Ok(Some(now))
                if matches!(now.state, State::Pending | State::Ready)
                    && now.start_id == server.start_id => {}
            // A database that fails for a moment cancels nothing.
            Err(error) => log_db_error(server, "look whether a start is still wanted", &error),
            Ok(_) => return,
        }
        // Who waits hears it from the queue: hundreds of them cannot look at every change of each other.
        if app.queue.before(&server.start_id).await.is_some() {
            sleep(Duration::from_secs(1)).await;
        } else {
            Wake::wait(&mut changes).await;
        }
    }
}

/// Ends what is left of a start and says why it failed.
async fn fail(app: &App, server: &Server, failed: Failed, busy: BusyGuard) {
    let reason = describe(app, server, &failed).await;
    app.metrics.started(false, server.started);
    let (first, _) = super::split_failure(&reason);
    if matches!(failed, Failed::Cancelled) {
        info!(server = %server.full_name(), "The start of {} was cancelled", server.full_name());
    } else {
        warn!(server = %server.full_name(), reason = first, "Server {} failed to start", server.full_name());
    }
    let fail = || app.db.fail_start(server.id, &server.start_id, &reason);
    let failed = patiently(server, "write down that its start failed", fail);
    if let Err(error) = failed.await {
        log_db_error(server, "write down that a start failed", &error);
    }
    stopping::finish(app, server.id, &server.start_id, busy).await;
}

/// The reason on one line; below it the last lines of the server's log, where the reason does not have them yet.
async fn describe(app: &App, server: &Server, failed: &Failed) -> String {
    let reason = crate::chain::chain(failed);
    if !matches!(
        failed,
        Failed::NotReady(NotReady::Silent { .. }) | Failed::TooSlow { .. }
    ) {
        return reason;
    }
    let Ok(Some(now)) = app.db.server_by_id(server.id).await else {
        return reason;
    };
    let Some(state) = super::spawner_state(&now) else {
        return reason;
    };
    let tail = timeout(Duration::from_secs(5), app.spawner.log_tail(&state, 20))
        .await
        .unwrap_or_default();
    if tail.trim().is_empty() {
        reason
    } else {
        format!("{reason}\n{tail}")
    }
}

/// Progress of one start, written as rows.
struct Progress<'a> {
    app: &'a App,
    server: &'a Server,
    row: ProgressRow,
}

impl<'a> Progress<'a> {
    fn new(app: &'a App, server: &'a Server) -> Self {
        Self {
            app,
            server,
            row: ProgressRow {
                seq: 0,
                progress: 0,
                message: String::new(),
            },
        }
    }

    /// Never backwards, and 100 only when the server is ready.
    async fn report(&mut self, percent: u8, message: &str) {
        let row = &mut self.row;
        row.seq += 1;
        row.progress = row.progress.max(i64::from(percent.min(99)));
        row.message = message.chars().take(500).collect();
        if let Err(error) = self
            .app
            .db
            .add_progress(self.server.id, &self.server.start_id, row)
            .await
        {
            log_db_error(self.server, "save the progress of a start", &error);
        }
        self.app.wake.server(self.server.id);
    }
}
