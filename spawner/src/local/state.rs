//! What is stored of a server, and how a server is found again without it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::process::Child;
use url::Url;

use super::environment::START_ID;
use super::folders::Folders;
use super::process::{self, Identity};
use crate::{Error, SERVICE_URL, SpawnerState, Started};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) pid: i32,
    pub(super) start_time: u64,
    pub(super) boot_id: String,
    pub(super) port: u16,
    pub(super) log: PathBuf,
    pub(super) start_id: String,
}

impl State {
    pub(super) fn read(state: &SpawnerState) -> Result<Self, Error> {
        let state: Self = serde_json::from_value(state.0.clone())
            .map_err(|error| Error::State(error.to_string()))?;
        // Signals to 0 and below go to whole groups, to 1 to the system's first process.
        if state.pid > 1 {
            Ok(state)
        } else {
            Err(Error::State(format!("{} is no server's pid", state.pid)))
        }
    }

    /// Of a child just started: nobody has waited for it, so its number is still its own even if it ended.
    pub(super) fn of_child(
        child: &Child,
        port: u16,
        log: PathBuf,
        start_id: &str,
    ) -> Result<Self, Error> {
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        let stat = pid
            .map(process::stat)
            .transpose()
            .map_err(Error::io("look at the new process"))?
            .flatten();
        let stat =
            stat.ok_or_else(|| Error::Start("the new process is not in /proc".to_owned()))?;
        let boot_id = process::boot_id().map_err(Error::io("read the boot id"))?;
        let start_id = start_id.to_owned();
        Ok(Self {
            pid: stat.pid,
            start_time: stat.start_time,
            boot_id,
            port,
            log,
            start_id,
        })
    }

    /// Of the server that was started as `start_id`, if it lives. Kernels lead sessions of their own and carry the
    /// mark too: the server is the session leader that started first.
    pub(super) fn find(start_id: &str, folders: &Folders) -> Result<Option<Self>, Error> {
        let all = process::all().map_err(Error::io("list the processes"))?;
        let leaders = all
            .into_iter()
            .filter(|stat| stat.session == stat.pid && is_marked(stat.pid, start_id));
        let Some(leader) = leaders.min_by_key(|stat| (stat.start_time, stat.pid)) else {
            return Ok(None);
        };
        let url = process::variable(leader.pid, SERVICE_URL).and_then(|url| Url::parse(&url).ok());
        let (Some(port), Some(log)) = (url.and_then(|url| url.port()), process::stdout(leader.pid))
        else {
            return Ok(None); // It ended meanwhile.
        };
        if !folders.has_log(&log) {
            return Ok(None);
        }
        let boot_id = process::boot_id().map_err(Error::io("read the boot id"))?;
        let start_id = start_id.to_owned();
        Ok(Some(Self {
            pid: leader.pid,
            start_time: leader.start_time,
            boot_id,
            port,
            log,
            start_id,
        }))
    }

    pub(super) fn identity(&self) -> Identity {
        Identity {
            pid: self.pid,
            start_time: self.start_time,
            boot_id: self.boot_id.clone(),
        }
    }

    pub(super) fn started(&self) -> Result<Started, Error> {
        let url = Url::parse(&format!("http://127.0.0.1:{}", self.port));
        let url = url.map_err(|error| Error::State(error.to_string()))?;
        let state = serde_json::to_value(self).map_err(|error| Error::State(error.to_string()))?;
        Ok(Started {
            url,
            state: SpawnerState(state),
        })
    }
}

/// Whether the process belongs to the server started as `start_id`.
pub(super) fn is_marked(pid: i32, start_id: &str) -> bool {
    !start_id.is_empty() && process::variable(pid, START_ID).is_some_and(|id| id == start_id)
}
