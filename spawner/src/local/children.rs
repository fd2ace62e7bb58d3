//! The servers that this Hub process started itself: their parent alone learns how they end.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Child;
use tokio::sync::watch;

use super::process::Identity;
use super::state::State;

/// How long the status of a process that has ended may take to arrive.
const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// One entry per log, that is per server: the last start of each.
#[derive(Default)]
pub(super) struct Children(Mutex<HashMap<PathBuf, (Identity, Exit)>>);

/// Gets its value when the child has ended.
pub(super) type Exit = watch::Receiver<Option<Ended>>;

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended(ExitStatus);

impl Children {
    /// Waits for the child in the background, so that it never stays a zombie.
    pub(super) fn watch(&self, state: &State, mut child: Child) -> Exit {
        let (sender, exit) = watch::channel(None);
        self.lock()
            .insert(state.log.clone(), (state.identity(), exit.clone()));
        tokio::spawn(async move {
            match child.wait().await {
                Ok(status) => drop(sender.send(Some(Ended(status)))),
                Err(error) => tracing::error!(%error, "Could not wait for a server's process"),
            }
        });
        exit
    }

    /// How the server ended, if this process started it.
    pub(super) async fn exit(&self, state: &State) -> Option<Ended> {
        let exit = {
            let children = self.lock();
            let (identity, exit) = children.get(&state.log)?;
            (*identity == state.identity()).then(|| exit.clone())?
        };
        tokio::time::timeout(STATUS_TIMEOUT, ended(exit))
            .await
            .ok()
            .flatten()
    }

    pub(super) fn forget(&self, state: &State) {
        let mut children = self.lock();
        if children
            .get(&state.log)
            .is_some_and(|(identity, _)| *identity == state.identity())
        {
            children.remove(&state.log);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, (Identity, Exit)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end; `None` when its status cannot be had.
pub(super) async fn ended(mut exit: Exit) -> Option<Ended> {
    exit.wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|ended| *ended)
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.code(), self.0.signal()) {
            (Some(code), _) => write!(f, "exited with status {code}"),
            (None, Some(number)) => {
                let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
                write!(f, "was killed by signal {number} ({name})")
            }
            (None, None) => write!(f, "ended"),
        }
    }
}
