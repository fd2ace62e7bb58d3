//! The worker process: its socket, its pipes, its life.

pub mod contents;
mod event;
pub mod late;
mod orders;
pub mod outputs;
mod pipe;
mod pump;
mod reader;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

pub use self::event::Event;
use self::late::LateOutputs;
pub use self::orders::Orders;
use self::pump::pump;
use self::reader::Reader;
use crate::rust_engine::prebuilt::installation::{Prelude, WORKER};

/// How long loading the libraries may take.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Events that wait before the worker waits too.
const EVENTS: usize = 16;
/// How many threads libraries compute on; read by rayon and candle.
const THREADS: &str = "RAYON_NUM_THREADS";

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    orders: Orders,
    /// Of the cell that runs.
    events: mpsc::Receiver<Event>,
}

impl Worker {
    /// Starts a worker, with these variables beside the kernel's, and waits until it can take cells. What comes between
    /// cells, and from threads of earlier cells, goes to `late`.
    pub async fn start(
        prelude: &Prelude,
        environment: &BTreeMap<String, String>,
        late: LateOutputs,
    ) -> Result<Self, String> {
        let program = prelude.folder.join(WORKER);
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            format!("cannot start {}: {what}: {error}", program.display())
        };
        let (socket, theirs) = std::os::unix::net::UnixStream::pair()
            .and_then(|(ours, theirs)| {
                ours.set_nonblocking(true)?;
                Ok((UnixStream::from_std(ours)?, theirs))
            })
            .map_err(|error| failed("socket", &error))?;
        // Errors of libraries carry a backtrace through the runtime otherwise, if a person has $RUST_BACKTRACE set.
        let backtrace = std::env::var_os("RUST_LIB_BACKTRACE").unwrap_or_else(|| "0".into());
        // Otherwise candle takes all processors of the machine, also in a container with a limit.
        let threads = std::env::var_os(THREADS).or_else(|| {
            let limit = std::thread::available_parallelism().ok()?;
            Some(limit.to_string().into())
        });
        let mut child = Command::new(&program)
            .envs(environment)
            .env("RUST_LIB_BACKTRACE", backtrace)
            .envs(threads.map(|threads| (THREADS, threads)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Its own group: what a cell starts ends with the worker.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("spawn", &error))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(failed("spawn", &"no pipes"));
        };
        let (socket, writer) = socket.into_split();
        let orders = Orders::new(writer);
        let mut reader = Reader::new(socket, stdout, stderr);
        match tokio::time::timeout(START_LIMIT, reader.ready()).await {
            Ok(Ok(())) => {}
            Ok(Err(said)) => {
                let status = ended(&mut child).await;
                return Err(failed("it ended", &format!("{status} {said}")));
            }
            Err(_) => {
                return Err(failed(
                    "it did not answer within",
                    &format!("{START_LIMIT:?}"),
                ));
            }
        }
        let (sender, events) = mpsc::channel(EVENTS);
        tokio::spawn(pump(reader, orders.clone(), sender, late));
        Ok(Self {
            child,
            orders,
            events,
        })
    }

    /// What can be said to it while [`Worker::next`] waits.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// The next event of the cell that was handed over by [`Orders::run`], until it ended. Cancel-safe. Everything
    /// printed before an output or an end comes before it.
    pub async fn next(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => Event::Died(ended(&mut self.child).await),
        }
    }

    /// The group of the worker and of what cells started, to be killed; none when the worker has ended.
    pub fn group(&self) -> Option<Pid> {
        group(&self.child)
    }

    /// Kills the worker and everything that cells started in its group.
    pub async fn kill(&mut self) {
        if let Some(group) = self.group() {
            // An error means that the group is gone already.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = self.child.wait().await;
    }
}

/// Waits for the end of a worker that has closed its socket, and ends all that cells started.
async fn ended(child: &mut Child) -> ExitStatus {
    let group = group(child);
    // A cell that closed the socket by force is a dead worker too.
    let ended = tokio::time::timeout(Duration::from_secs(1), child.wait()).await;
    if let Some(group) = group {
        let _ = killpg(group, Signal::SIGKILL);
    }
    match ended {
        Ok(Ok(status)) => status,
        _ => child
            .wait()
            .await
            .unwrap_or_else(|_| ExitStatus::from_raw(0)),
    }
}

fn group(child: &Child) -> Option<Pid> {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    pid.map(Pid::from_raw)
}
