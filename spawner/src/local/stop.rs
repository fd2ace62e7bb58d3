//! The end of a server: TERM, then KILL, until none of its processes is left.

use std::io;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep};

use super::blocking;
use super::process;
use super::state::{State, is_marked};
use crate::Error;

const INTERVAL: Duration = Duration::from_millis(20);

/// Asks the server to end, and ends by force what is left after `term_timeout`. jupyter-server ends its kernels when
/// it is asked to; those that it leaves behind run in sessions of their own and are found by their mark.
pub(super) async fn stop(
    state: &State,
    term_timeout: Duration,
    kill_timeout: Duration,
) -> Result<(), Error> {
    let identity = state.identity();
    let asked = Instant::now();
    if is_alive(&identity)? {
        process::signal_group(state.pid, Signal::SIGTERM)
            .map_err(Error::io("send SIGTERM to the server"))?;
    }
    while is_alive(&identity)? && asked.elapsed() < term_timeout {
        sleep(INTERVAL).await;
    }
    let forced = Instant::now();
    let mut quiet = 0;
    // Twice, for a process shows no environment while it executes a new program.
    while quiet < 2 {
        let server = state.clone();
        let left = blocking(move || kill_all(&server))
            .await?
            .map_err(Error::io("send SIGKILL to the server"))?;
        quiet = if left == 0 { quiet + 1 } else { 0 };
        if left > 0 && forced.elapsed() > kill_timeout {
            let source = io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{left} processes outlive SIGKILL"),
            );
            return Err(Error::io(&format!("end the server with pid {}", state.pid))(source));
        }
        sleep(INTERVAL).await;
    }
    Ok(())
}

fn is_alive(identity: &process::Identity) -> Result<bool, Error> {
    process::is_alive(identity).map_err(Error::io("look at the server's process"))
}

/// Sends SIGKILL to every process of the server, and says how many there were: those started meanwhile are found
/// by the next call.
fn kill_all(state: &State) -> io::Result<usize> {
    let processes = processes(state)?;
    for pid in &processes {
        process::signal(*pid, Signal::SIGKILL)?;
    }
    Ok(processes.len())
}

/// All that carries the mark, and all of the server's session. The session's number is the server's pid, which
/// Linux gives to nobody else while the session lives; another process with that pid means that the session is gone.
fn processes(state: &State) -> io::Result<Vec<i32>> {
    if process::boot_id()? != state.boot_id {
        return Ok(Vec::new());
    }
    let leader = process::stat(state.pid)?;
    let session_is_ours = leader.is_none_or(|leader| leader.start_time == state.start_time);
    let all = process::all()?.into_iter();
    let ours = all.filter(|stat| {
        (session_is_ours && stat.session == state.pid) || is_marked(stat.pid, &state.start_id)
    });
    Ok(ours.map(|stat| stat.pid).collect())
}

/// Ends a server whose start is dropped. At once and by force: dropping cannot wait.
pub(super) struct KillOnDrop<'a>(Option<&'a State>);

impl<'a> KillOnDrop<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self(Some(state))
    }

    pub(super) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for KillOnDrop<'_> {
    fn drop(&mut self) {
        let Some(state) = self.0 else { return };
        // The second round finds what was started during the first.
        let ended = kill_all(state).and_then(|_| kill_all(state));
        if let Err(error) = ended {
            tracing::error!(pid = state.pid, %error, "Could not end the server of a cancelled start");
        }
    }
}
