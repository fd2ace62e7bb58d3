//! The environment of a server, as a pure function of what the configuration, the Hub and the spawner say.

use std::collections::BTreeMap;
use std::path::Path;

use super::config::LocalConfig;
use crate::{SERVICE_URL, StartRequest};

/// The variable that marks all processes of a server.
pub(super) const START_ID: &str = "CARREL_START_ID";

/// All variables of a server on `port`, whose working folder is `home`, where an account may have a shell; `inherited` are
/// the Hub's own. Later ones win: those of `env_keep`, those of the user, the configured ones, the Hub's `JUPYTERHUB_*`,
/// the spawner's.
///
/// `HOME` is the working folder, so that users share no settings: what servers need from the Hub's own home
/// (kernels by `JUPYTER_PATH`, toolchains by `RUSTUP_HOME`) is named in `Spawner.environment`.
pub fn environment(
    config: &LocalConfig,
    request: &StartRequest,
    (home, shell): (&Path, Option<&str>),
    port: u16,
    inherited: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: &str| variables.insert(name.to_owned(), value.to_owned());
    set("SHELL", "/bin/sh");
    for name in &config.env_keep {
        if let Some(value) = inherited.get(name) {
            set(name, value);
        }
    }
    if let Some(shell) = shell {
        set("SHELL", shell);
    }
    set("HOME", &home.to_string_lossy());
    set("USER", &request.user);
    set("LOGNAME", &request.user);
    if let Some(notebook_dir) = &config.notebook_dir {
        set(
            "JUPYTERHUB_ROOT_DIR",
            &notebook_dir.replace("{username}", &request.user),
        );
    }
    for (name, value) in config.environment.iter().chain(&request.environment) {
        set(name, value);
    }
    set(
        SERVICE_URL,
        &format!("http://127.0.0.1:{port}{}", request.prefix),
    );
    set(START_ID, &request.start_id);
    variables
}
