//! Runs servers as processes of this machine, under the user that the Hub runs under.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

use crate::{Error, Poll, Spawner, SpawnerState, StartEvent, StartRequest, Started};

/// How [`LocalProcessSpawner`] runs servers; the keys of the configuration's sections `Spawner` and
/// `LocalProcessSpawner`.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Holds `users/<user>/`, the working folders, and `logs/`.
    pub state_dir: PathBuf,
    /// The program and its first arguments.
    pub cmd: Vec<String>,
    pub args: Vec<String>,
    /// Where the server finds notebooks, in place of the user's working folder. `{username}` stands for the name.
    pub notebook_dir: Option<PathBuf>,
    /// Added to each server's environment; wins over `env_keep`, but not over the Hub's own `JUPYTERHUB_*`.
    pub environment: BTreeMap<String, String>,
    /// Names of variables that servers inherit from the Hub.
    pub env_keep: Vec<String>,
    /// How long a server may take to end after SIGTERM.
    pub term_timeout: Duration,
    /// How long the kernel may take to take processes away after SIGKILL.
    pub kill_timeout: Duration,
}

impl Default for LocalConfig {
    fn default() -> Self {
        Self {
            state_dir: PathBuf::from(".carrel"),
            cmd: vec!["jupyterhub-singleuser".to_owned()],
            args: Vec::new(),
            notebook_dir: None,
            environment: BTreeMap::new(),
            env_keep: ["PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"]
                .map(str::to_owned)
                .to_vec(),
            term_timeout: Duration::from_secs(5),
            kill_timeout: Duration::from_secs(5),
        }
    }
}

/// Servers as processes of this machine. Made for a machine used by one person or by people who trust each other:
/// all servers run under the Hub's own user.
pub struct LocalProcessSpawner {
    config: LocalConfig,
}

impl LocalProcessSpawner {
    pub fn new(config: LocalConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Spawner for LocalProcessSpawner {
    async fn start(
        &self,
        _: &StartRequest,
        _: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error> {
        Err(Error::Start(format!(
            "cannot start {:?} yet",
            self.config.cmd
        )))
    }

    async fn adopt(&self, _: &str) -> Result<Option<Started>, Error> {
        Ok(None)
    }

    async fn poll(&self, _: &SpawnerState) -> Result<Poll, Error> {
        Ok(Poll::Stopped {
            reason: String::new(),
        })
    }

    async fn stop(&self, _: &SpawnerState) -> Result<(), Error> {
        Ok(())
    }

    async fn log_tail(&self, _: &SpawnerState, _: usize) -> String {
        String::new()
    }
}
