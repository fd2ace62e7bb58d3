//! Runs one user's server somewhere; knows no HTTP handler, no database and no type of the Hub.

pub mod form;
pub mod kube;
pub mod local;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::mpsc::UnboundedSender;
use url::Url;

use crate::form::Form;

/// Variable with the address at which a server is to listen.
const SERVICE_URL: &str = "JUPYTERHUB_SERVICE_URL";

/// What the Hub asks a [`Spawner`] to start: one server of one user.
#[derive(Debug, Clone)]
pub struct StartRequest {
    /// Name of the user, unescaped.
    pub user: String,
    /// Name of the server; empty for the default server.
    pub server: String,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// Base URL of the server, `/user/<escaped>/` or `/user/<escaped>/<server>/`.
    pub prefix: String,
    /// `JUPYTERHUB_*` of the server; the spawner adds `JUPYTERHUB_SERVICE_URL` and what it alone knows.
    pub environment: BTreeMap<String, String>,
    /// What the user chose in the spawn form or sent in the API's body, checked by the Hub.
    pub user_options: serde_json::Map<String, serde_json::Value>,
    /// Random name of this start, written down by the Hub before the call: a server whose state was never
    /// saved is found again by it.
    pub start_id: String,
    /// What the spawner said of the server's start before this one: by it the server finds its files again, whatever the
    /// options say by now.
    pub before: Option<SpawnerState>,
}

/// Where a server runs, as the spawner wrote it; the Hub stores it and hands it back after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpawnerState(pub serde_json::Value);

/// A server that runs; it need not answer HTTP yet.
#[derive(Debug, Clone)]
pub struct Started {
    /// Where the proxy reaches it, without the prefix: `http://127.0.0.1:41231`.
    pub url: Url,
    pub state: SpawnerState,
}

/// What a start reports while it goes on.
#[derive(Debug, Clone)]
pub enum StartEvent {
    /// A line for the person who waits, with progress in percent (0 to 100).
    Progress { progress: u8, message: String },
    /// State worth saving at once: with it the server can be adopted or stopped after a crash of the Hub.
    State(SpawnerState),
    /// The server is where its turn to run is decided, such as a pod that the API server knows: what starts after this
    /// one can no longer overtake it. Where it is not told, the end of the start tells it.
    HandedOver,
}

/// What a server takes of what there is, as far as it is bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Needs {
    /// Bytes.
    pub memory: Option<u64>,
    /// Thousandths of a core.
    pub cpu: Option<u64>,
}

/// Whether a server lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    Running,
    /// It runs at another address than `state` says, as a pod does that its node has made anew.
    Moved {
        url: Url,
        state: SpawnerState,
    },
    /// It ended; `reason` says how, for people: "The server exited with status 1", with the log's last lines.
    Stopped {
        reason: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The start failed for a reason that its user or administrator can act on.
    #[error("{0}")]
    Start(String),
    #[error("could not {attempted}")]
    Io {
        attempted: String,
        #[source]
        source: std::io::Error,
    },
    /// The cluster refused, or did not answer.
    #[error("could not {attempted}: {message}")]
    Cluster { attempted: String, message: String },
    /// The stored state does not read as this spawner's.
    #[error("the stored spawner state does not read: {0}")]
    State(String),
}

impl Error {
    /// For `map_err`: what was attempted when the system refused.
    pub(crate) fn io(attempted: &str) -> impl FnOnce(std::io::Error) -> Self {
        let attempted = attempted.to_owned();
        move |source| Self::Io { attempted, source }
    }
}

/// Starts, watches and stops servers. One spawner serves all users of a Hub.
#[async_trait]
pub trait Spawner: Send + Sync {
    /// Starts a server; returns when it runs. Dropping the future cancels the start and leaves nothing running.
    async fn start(
        &self,
        request: &StartRequest,
        events: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error>;

    /// Finds a server by the name of its start, where its state was never saved. It need not run yet.
    async fn find(&self, start_id: &str) -> Result<Option<SpawnerState>, Error>;

    /// Returns when the spawner knows what runs, as far as it can know that without being asked for each server, or when
    /// that takes too long: a look at a server is cheap from then on.
    async fn settle(&self) {}

    /// Goes on with a start that a Hub before this one began, from whatever of it was not done yet; returns when the
    /// server runs. The environment of `request` is as good as the one that the start began with: which of them the
    /// server has is not known.
    async fn resume(
        &self,
        state: &SpawnerState,
        request: &StartRequest,
        events: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error>;

    async fn poll(&self, state: &SpawnerState) -> Result<Poll, Error>;

    /// Ends the server and waits until it is gone; a server that is gone already is no error.
    async fn stop(&self, state: &SpawnerState) -> Result<(), Error>;

    /// The last lines of the server's own log, for error pages and logs; empty where there are none.
    async fn log_tail(&self, state: &SpawnerState, lines: usize) -> String;

    /// What members of `groups` choose from before a start.
    fn form(&self, groups: &[String]) -> Form {
        let _ = groups;
        Form::default()
    }

    /// What the server of this start will take of what there is.
    fn needs(&self, request: &StartRequest) -> Result<Needs, Error> {
        let _ = request;
        Ok(Needs::default())
    }

    /// Names of the starts of all servers that live, where the spawner can tell: the Hub ends those that it has
    /// written down as stopped.
    async fn running(&self) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    /// Names of the starts of servers that end by themselves, as soon as the spawner hears of it; nothing where it hears
    /// nothing, and the Hub has to look.
    fn ended(&self) -> Option<broadcast::Receiver<String>> {
        None
    }

    /// Removes what a server keeps over stops, once the server itself is deleted; `before` is as in [`StartRequest`].
    async fn forget(
        &self,
        user: &str,
        server: &str,
        before: Option<&SpawnerState>,
    ) -> Result<(), Error> {
        let _ = (user, server, before);
        Ok(())
    }
}
