//! Starting, stopping and watching a user's server. Pages and API both come here; nothing here knows HTTP pages.
//!
//! Each step is written to the database before it is done, and each change of state is a compare-and-set there:
//! a Hub that is killed at any point finds out at its next start what to finish ([`reconcile`]).

mod activity;
mod answer;
mod background;
pub mod busy;
mod cull;
pub mod env;
pub mod hubs;
mod leftovers;
pub mod named;
pub mod options;
pub mod progress;
pub mod queue;
mod quota;
pub mod reconcile;
mod routing;
mod starting;
mod stopping;
mod watch;

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tracing::info;

use busy::BusyGuard;
use named::NamedError;

pub use background::keep;
pub use cull::{cull, keep_running, may_end};
pub use leftovers::clear as clear_leftovers;
pub use routing::{CheckError, check_routes, find_late, keep_routes};
pub(crate) use stopping::stop_one;
pub use stopping::{Stop, remove, started, stop, stop_all};
pub use watch::{heed, look_at, watch};

use crate::access::permit::{Permit, StartServer};
use crate::access::scopes;
use crate::app::{App, Urls};
use crate::auth::secret;
use crate::auth::username::quote;
use crate::db;
use crate::db::audit::carry;
use crate::db::servers::{Server, State};
use crate::db::starts::{Attempt, NewStart};
use crate::names::Named;

/// Choices of the spawn form or of the API's body.
pub type UserOptions = Map<String, Value>;

/// What [`start`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    Started,
    /// The server was starting already: this caller waits for the same start.
    Joined,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0} is already running")]
    AlreadyRunning(String),
    #[error("{0} is stopping; start it again when it has stopped")]
    Stopping(String),
    #[error(
        "No more than {0} servers may be active (JupyterHub.active_server_limit); try again in a few minutes"
    )]
    TooMany(u32),
    #[error(
        "What a deleted server of this name has left is still being removed; try again in a minute"
    )]
    NotGone,
    #[error("No such user")]
    NoUser,
    #[error("{0}")]
    Quota(String),
    #[error(transparent)]
    Named(#[from] NamedError),
    #[error("could not use the database")]
    Db(#[from] sqlx::Error),
}

/// What is to be started.
#[derive(Debug, Default)]
pub struct Wanted {
    /// None for those of the last time.
    pub options: Option<UserOptions>,
    /// What the server is to be called from now on.
    pub display_name: Option<String>,
}

/// Starts a server and returns at once; wait for it by [`started`], or follow it with [`progress`]. A second call while pending joins the first.
pub async fn start(
    app: &App,
    permit: Permit<StartServer>,
    wanted: Wanted,
) -> Result<Begun, StartError> {
    let Named { user, server: name } = permit.into_inner().0;
    let user = app.db.user(&user).await?.ok_or(StartError::NoUser)?;
    named::admit(app, &user, &name).await?;
    named::check(None, wanted.display_name.as_deref())?;
    for _ in 0..2 {
        if begin(app, (user.id, &user.name, &name), &wanted, "").await? {
            return Ok(Begun::Started);
        }
        let Some(server) = app.db.server(&user.name, &name).await? else {
            continue;
        };
        match server.state {
            State::Pending => return Ok(Begun::Joined),
            State::Stopping => return Err(StartError::Stopping(server.full_name())),
            // A server that died is noticed here and started anew.
            State::Ready if watch::alive(app, &server).await => {
                return Err(StartError::AlreadyRunning(server.full_name()));
            }
            State::Ready | State::Stopped => {}
        }
    }
    Err(StartError::Stopping(format!("{}/{name}", user.name)))
}

/// A start that is written down and now belongs to this process.
struct BegunStart {
    server: Server,
    environment: BTreeMap<String, String>,
    place: queue::Place,
    _busy: BusyGuard,
}

/// Begins a start anew of which the Hub that is gone had asked nothing of the spawner; false where it is no longer wanted.
async fn begin_anew(app: &App, server: &Server) -> Result<bool, StartError> {
    let of = (server.user_id, &*server.user, &*server.name);
    let wanted = Wanted {
        options: Some(server.user_options.clone()),
        display_name: None,
    };
    begin(app, of, &wanted, &server.start_id).await
}

/// False where the server is not stopped, nor the start pending that this one `replaces`. What has begun goes on where
/// nobody waits for it any more, as when a client hangs up: it is written down, and must belong to somebody.
async fn begin(
    app: &App,
    of: (i64, &str, &str),
    wanted: &Wanted,
    replaces: &str,
) -> Result<bool, StartError> {
    let start_id = uuid::Uuid::new_v4().simple().to_string();
    let mut bounds = quota::bounds(app, of, wanted.options.as_ref()).await?;
    // What was weighed is what starts, whatever is changed meanwhile.
    let options = bounds.options.take().or_else(|| wanted.options.clone());
    let start = Start {
        bounds,
        user_id: of.0,
        user: of.1.to_owned(),
        name: of.2.to_owned(),
        options,
        display_name: wanted.display_name.clone(),
        replaces: replaces.to_owned(),
        busy: app.busy.enter(&start_id),
        // First of all: the order is that of the requests, not that in which they get at the database.
        place: app.queue.enter(&start_id),
        turn: db::new_id(),
        start_id,
    };
    let app = app.clone();
    let begun = tokio::spawn(carry(async move {
        let Some(begun) = write_down(&app, start).await? else {
            return Ok(false);
        };
        let server = begun.server.full_name();
        info!(
            server,
            start_id = begun.server.start_id,
            "Starting server {server}"
        );
        starting::spawn(&app, begun);
        Ok(true)
    }));
    match begun.await {
        Ok(begun) => begun,
        // The runtime ends, or the task has died with its own report.
        Err(died) => Err(StartError::Db(sqlx::Error::Protocol(format!(
            "the start has died: {died}"
        )))),
    }
}

/// A start that is to be written down.
struct Start {
    user_id: i64,
    user: String,
    name: String,
    options: Option<UserOptions>,
    display_name: Option<String>,
    /// The start that this one takes the place of; empty where there is none.
    replaces: String,
    start_id: String,
    bounds: quota::Bounds,
    place: queue::Place,
    /// Its order among the starts of all Hubs.
    turn: i64,
    busy: BusyGuard,
}

async fn write_down(app: &App, start: Start) -> Result<Option<BegunStart>, StartError> {
    let (user, name) = (&*start.user, &*start.name);
    let token = secret::generate();
    let prefix = app.urls.server(user, name);
    let client_id = client_id(user, name);
    let limit = app.config.jupyter_hub.active_server_limit;
    let amount =
        |amount: Option<u64>| i64::try_from(amount.unwrap_or_default()).unwrap_or(i64::MAX);
    let new = NewStart {
        user_id: start.user_id,
        name,
        display_name: start.display_name.as_deref(),
        start_id: &start.start_id,
        prefix: &prefix,
        user_options: start.options.as_ref(),
        client_id: &client_id,
        redirect_uri: &redirect_uri(&app.urls, &prefix),
        allowed_scopes: &[],
        token_hash: &secret::hash(&token),
        token_scopes: &scopes::of_server(app.config.server_token_scopes(), user, name),
        token_note: &format!("Server at {prefix}"),
        replaces: &start.replaces,
        place: start.turn,
        concurrent_spawn_limit: app.config.jupyter_hub.concurrent_spawn_limit,
        named_limit: app.config.jupyter_hub.named_server_limit_per_user,
        active_server_limit: limit,
        limits: &start.bounds.limits,
        memory: amount(start.bounds.needs.memory),
        cpu: amount(start.bounds.needs.cpu),
    };
    let server = match app.db.begin_start(new).await? {
        Attempt::Begun(server) => *server,
        Attempt::NotStopped => return Ok(None),
        Attempt::TooMany => {
            app.metrics.refused_start();
            return Err(StartError::TooMany(limit));
        }
        Attempt::TooManyNamed => {
            let user = start.user.clone();
            let limit = app.config.jupyter_hub.named_server_limit_per_user;
            return Err(NamedError::TooMany(user, limit).into());
        }
        Attempt::OverQuota(limit, over) => {
            return Err(StartError::Quota(quota::refusal(&limit, over)));
        }
        Attempt::NotGone => return Err(StartError::NotGone),
    };
    start.place.written(server.waits);
    Ok(Some(BegunStart {
        environment: environment(app, &server, &token),
        server,
        place: start.place,
        _busy: start.busy,
    }))
}

/// A further token for a start that another Hub began, and the environment with it; nothing where the start is over.
async fn further_environment(
    app: &App,
    server: &Server,
) -> Result<Option<BTreeMap<String, String>>, sqlx::Error> {
    let token = secret::generate();
    let given = app.config.server_token_scopes();
    let new = db::tokens::NewToken {
        token_hash: &secret::hash(&token),
        user_id: Some(server.user_id),
        server_id: Some(server.id),
        scopes: &scopes::of_server(given, &server.user, &server.name),
        note: &format!("Server at {}", server.prefix),
        ..Default::default()
    };
    let added = app.db.add_secret(server.id, &server.start_id, new).await?;
    Ok(added.then(|| environment(app, server, &token)))
}

pub(crate) fn redirect_uri(urls: &Urls, prefix: &str) -> String {
    format!("{}oauth_callback", urls.public(prefix))
}

/// `JUPYTERHUB_*` of a server that has this token.
fn environment(app: &App, server: &Server, token: &str) -> BTreeMap<String, String> {
    env::environment(&env::Input {
        config: &app.config,
        urls: &app.urls,
        user: &server.user,
        server: &server.name,
        client_id: &client_id(&server.user, &server.name),
        redirect_uri: &redirect_uri(&app.urls, &server.prefix),
        token,
    })
}

/// `jupyterhub-user-<name>[+<server>]`: also the name of the server's cookie. JupyterHub joins the two with a hyphen
/// (jupyterhub/user.py), so that server `b` of `a` takes over the client of user `a-b`; quoted names hold no plus.
pub fn client_id(user: &str, server: &str) -> String {
    match server {
        "" => format!("jupyterhub-user-{}", quote(user)),
        server => format!("jupyterhub-user-{}+{}", quote(user), quote(server)),
    }
}

/// The spawner's own form of what the database holds.
fn spawner_state(server: &Server) -> Option<carrel_spawner::SpawnerState> {
    server
        .spawner_state
        .clone()
        .map(carrel_spawner::SpawnerState)
}

/// A failure as it is stored: its reason on the first line, the log's last lines below. Where they are shown apart,
/// the reason need not announce them.
pub fn split_failure(failure: &str) -> (&str, &str) {
    let (reason, log) = failure.split_once('\n').unwrap_or((failure, ""));
    (reason.trim_end_matches("; the end of its log:"), log)
}

/// Changes that are of no use to undo one by one: they go to the log.
fn log_db_error(server: &Server, attempted: &str, error: &db::DbError) {
    tracing::error!(server = %server.full_name(), %error, "Could not {attempted}");
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn client_ids_of_default_servers_are_those_of_jupyterhub() {
        assert_eq!(client_id("admin", ""), "jupyterhub-user-admin");
        assert_eq!(client_id("a@b.c", "gpu"), "jupyterhub-user-a%40b.c+gpu");
    }

    #[test]
    fn no_two_servers_share_a_client() {
        let servers = [
            ("a-b", ""),
            ("a", "b"),
            ("a-b", "c"),
            ("a", "b-c"),
            ("a+b", ""),
        ];
        let ids: HashSet<String> = servers.map(|(user, name)| client_id(user, name)).into();
        assert_eq!(ids.len(), servers.len(), "{ids:?}");
    }

    #[test]
    fn a_failure_is_told_apart_from_the_log() {
        let failure = "The server exited with status 3; the end of its log:\nno space\nleft";
        assert_eq!(
            split_failure(failure),
            ("The server exited with status 3", "no space\nleft")
        );
        assert_eq!(split_failure("cancelled"), ("cancelled", ""));
    }
}
