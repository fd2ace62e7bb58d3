//! The options of the spawner of local processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How [`LocalProcessSpawner`](super::LocalProcessSpawner) runs servers; the keys of the configuration's sections `Spawner` and
/// `LocalProcessSpawner`.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Holds `users/<user>/`, the working folders, `logs/`, and `skel/`, whose files each new user gets.
    pub state_dir: PathBuf,
    /// The program and its first arguments.
    pub cmd: Vec<String>,
    pub args: Vec<String>,
    /// Where the server finds notebooks, in place of its working folder. `{username}` stands for the user.
    pub notebook_dir: Option<String>,
    /// Added to each server's environment; wins over `env_keep`, but not over the Hub's own `JUPYTERHUB_*`.
    pub environment: BTreeMap<String, String>,
    /// Names of variables that servers inherit from the Hub.
    pub env_keep: Vec<String>,
    /// Whether each server runs under the account of the machine that has its user's name, in the home of that; only root
    /// may start it so.
    pub system_users: bool,
    /// Whether a server may run as root where its user is root.
    pub allow_root: bool,
    /// Accounts with a lesser number are the system's own, under which no server runs; root has its own rule.
    pub minimum_uid: u32,
    /// How long a start watches a server that does not listen yet: one that ends meanwhile fails the start. What
    /// ends later, the Hub's polls find.
    pub exit_watch: Duration,
    /// How long a server may take to end after SIGTERM.
    pub term_timeout: Duration,
    /// How long its processes may take to be gone after SIGKILL.
    pub kill_timeout: Duration,
}

impl Default for LocalConfig {
    fn default() -> Self {
        let kept = [
            "PATH",
            "LANG",
            "LC_ALL",
            "TZ",
            "TMPDIR",
            "SHELL",
            "LD_LIBRARY_PATH",
            "CARGO_HOME",
            "RUSTUP_HOME",
        ];
        Self {
            state_dir: PathBuf::from(".carrel"),
            cmd: vec!["jupyterhub-singleuser".to_owned()],
            args: Vec::new(),
            notebook_dir: None,
            environment: BTreeMap::new(),
            env_keep: kept.map(str::to_owned).to_vec(),
            system_users: false,
            allow_root: false,
            minimum_uid: 1000,
            exit_watch: Duration::from_millis(300),
            term_timeout: Duration::from_secs(5),
            kill_timeout: Duration::from_secs(5),
        }
    }
}
