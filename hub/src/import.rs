//! `carrel-hub import-jupyterhub`: the users, groups, tokens, servers and shares of a stopped JupyterHub.

mod rows;

use std::fmt::Write as _;
use std::path::Path;

use crate::config::{Config, FromPython, read_python};
use crate::db::{Db, OpenError, jupyterhub};
use crate::subdomains::Subdomains;

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("could not read {0}, the database of a JupyterHub 5 or 6")]
    Read(String, #[source] sqlx::Error),
    #[error("could not read {0}")]
    Python(String, #[source] std::io::Error),
    #[error(
        "these servers are processes of this machine, which another Hub cannot take over; start JupyterHub, stop them, and \
         stop JupyterHub: {0}"
    )]
    Processes(String),
    #[error("the Hub's own database has users already; import into one that is new")]
    NotEmpty,
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("could not write to the Hub's own database")]
    Write(#[from] sqlx::Error),
}

/// Reads `database`, and `python` without running it; writes into the Hub's own database at `url`. Returns the
/// configuration in YAML, with comments about what is not taken.
pub async fn import(
    config: &Config,
    url: &str,
    database: &Path,
    python: Option<&Path>,
) -> Result<String, ImportError> {
    let taken = match python {
        Some(path) => {
            let file = path.display().to_string();
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|error| ImportError::Python(file.clone(), error))?;
            read_python(&file, &text)
        }
        None => FromPython::default(),
    };
    let read = jupyterhub::read(database).await;
    let found = read.map_err(|error| ImportError::Read(database.display().to_string(), error))?;
    let hub = &config.jupyter_hub;
    let made = rows::Made::of(
        &found,
        &hub.base_url,
        Subdomains::of(hub),
        taken.existing_users,
    );
    if !made.processes.is_empty() {
        return Err(ImportError::Processes(made.processes.join(", ")));
    }
    let db = Db::open(url).await?;
    if !db.no_users().await? {
        return Err(ImportError::NotEmpty);
    }
    db.import(&made.import).await?;
    db.close().await;

    let import = &made.import;
    let adopted = import
        .servers
        .iter()
        .filter(|server| server.running.is_some());
    let mut yaml = format!(
        "# Imported: {} users, {} groups, {} tokens, {} servers ({} run and are adopted), {} shares.\n",
        import.users.len(),
        import.groups.len(),
        import.tokens.len(),
        import.servers.len(),
        adopted.count(),
        import.shares.len()
    );
    for note in made.notes {
        let _ = writeln!(yaml, "# {note}");
    }
    Ok(yaml + &taken.yaml)
}
