//! Runs servers as processes of this machine, under the user that the Hub runs under, or each under its own user's account.

mod account;
mod children;
mod config;
mod environment;
mod folders;
mod port;
mod process;
mod state;
mod stop;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use tokio::process::Command;
use tokio::sync::mpsc::UnboundedSender;

pub use self::config::LocalConfig;
pub use self::environment::environment;

use self::account::{Account, Told};
use self::children::{Children, Exit};
use self::folders::Folders;
use self::port::Reservation;
use self::state::State;
use crate::{Error, Poll, Spawner, SpawnerState, StartEvent, StartRequest, Started};

/// Lines of the log that go into an error or the reason of an end.
const REASON_LINES: usize = 20;

/// Servers as processes of this machine. With `system_users` each runs under the account of its user, in their home. Without,
/// this is made for a machine used by one person, or by people who trust each other: all servers run under the Hub's own user,
/// each with a folder of its own as working folder and `HOME`.
///
/// A server is a session of its own that holds nothing of the Hub, so it outlives a Hub that is killed. Its
/// processes, kernels in further sessions included, are known by `CARREL_START_ID` in their environment.
pub struct LocalProcessSpawner {
    config: LocalConfig,
    folders: Folders,
    children: Children,
}

impl LocalProcessSpawner {
    pub fn new(config: LocalConfig) -> Self {
        Self {
            folders: Folders::new(&config.state_dir),
            config,
            children: Children::default(),
        }
    }

    /// The command of one server, without a shell: no name of a user is ever parsed.
    fn command(
        &self,
        request: &StartRequest,
        place: &Place,
        port: u16,
    ) -> Result<(Command, Option<Told>), Error> {
        let words = self.config.cmd.iter().chain(&self.config.args);
        let mut words = words.map(|word| word.replace("{username}", &request.user));
        let program = words.next().filter(|program| !program.is_empty());
        let program =
            program.ok_or_else(|| Error::Start("`Spawner.cmd` names no program".to_owned()))?;
        let log = self.folders.open_log(&request.user, &request.server)?;
        let log_again = log
            .try_clone()
            .map_err(Error::io("duplicate the log's file descriptor"))?;
        let inherited = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let mut command = std::process::Command::new(program);
        command.args(words).env_clear();
        command.envs(environment(
            &self.config,
            request,
            (place.home(), place.shell()),
            port,
            &inherited.collect(),
        ));
        command.stdin(Stdio::null()).stdout(log).stderr(log_again);
        process::in_own_session(&mut command);
        let told = match place {
            Place::Folder(home) => {
                command.current_dir(home);
                None
            }
            Place::Account(account) => Some(account.take(&mut command)?),
        };
        Ok((Command::from(command), told))
    }

    /// Where the server of this user runs.
    async fn place(&self, user: &str) -> Result<Place, Error> {
        let (folders, user) = (self.folders.clone(), user.to_owned());
        let config = self.config.clone();
        // What new users begin with may be many files, and a directory may be asked for an account: nobody else waits.
        let place = move || match config.system_users {
            true => Account::of(&user, &config).map(Place::Account),
            false => folders.home(&user).map(Place::Folder),
        };
        blocking(place).await?
    }
}

/// Whose a server is, and where it works.
enum Place {
    /// A folder of the user's, under the Hub's own account.
    Folder(PathBuf),
    Account(Account),
}

impl Place {
    fn home(&self) -> &Path {
        match self {
            Self::Folder(home) => home,
            Self::Account(account) => &account.home,
        }
    }

    fn shell(&self) -> Option<&str> {
        match self {
            Self::Account(account) if !account.shell.is_empty() => Some(&account.shell),
            _ => None,
        }
    }

    fn could_not_run(&self, told: Option<Told>, cmd: &[String], error: &std::io::Error) -> Error {
        match (self, told) {
            (Self::Account(account), Some(told)) => told
                .why(account, error)
                .unwrap_or_else(|| could_not_run(cmd, error, Some(&account.name))),
            _ => could_not_run(cmd, error, None),
        }
    }
}

#[async_trait]
impl Spawner for LocalProcessSpawner {
    async fn start(
        &self,
        request: &StartRequest,
        events: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error> {
        let place = self.place(&request.user).await?;
        let reservation = Reservation::new().map_err(Error::io("reserve a port on 127.0.0.1"))?;
        let port = reservation.port();
        let (mut command, told) = self.command(request, &place, port)?;
        let spawned = command.spawn();
        drop(command);
        let mut child =
            spawned.map_err(|error| place.could_not_run(told, &self.config.cmd, &error))?;
        let log = self.folders.log(&request.user, &request.server);
        let state = State::of_child(&child, port, log, &request.start_id);
        let state = state.inspect_err(|_| drop(child.start_kill()))?;
        let mut cancelled = stop::KillOnDrop::new(&state);
        let exit = self.children.watch(&state, child);
        let started = state.started()?;
        // Nobody may listen, as when the Hub only wants the result.
        let _ = events.send(StartEvent::State(started.state.clone()));
        let _ = events.send(StartEvent::HandedOver);
        let message = format!(
            "Process {} started, waiting for it on port {port}",
            state.pid
        );
        let _ = events.send(StartEvent::Progress {
            progress: 30,
            message,
        });
        if let Some(exit) = early_exit(&exit, port, self.config.exit_watch).await {
            let tail = folders::tail(&state.log, REASON_LINES).await;
            return Err(Error::Start(ended_at_once(&self.config.cmd, &exit, &tail)));
        }
        tokio::spawn(port::hold(reservation, exit));
        cancelled.disarm();
        Ok(started)
    }

    async fn find(&self, start_id: &str) -> Result<Option<SpawnerState>, Error> {
        let start_id = start_id.to_owned();
        let folders = self.folders.clone();
        let found = blocking(move || State::find(&start_id, &folders)).await?;
        found?.map(|state| Ok(state.started()?.state)).transpose()
    }

    /// A process runs as soon as it exists.
    async fn resume(
        &self,
        state: &SpawnerState,
        _: &StartRequest,
        _: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error> {
        State::read(state)?.started()
    }

    async fn poll(&self, state: &SpawnerState) -> Result<Poll, Error> {
        let state = State::read(state)?;
        if process::is_alive(&state.identity())
            .map_err(Error::io("look at the server's process"))?
        {
            return self.listens_itself(&state);
        }
        let how = match self.children.exit(&state).await {
            Some(exit) => format!("The server {exit}"),
            None => "The server ended while the Hub did not watch it".to_owned(),
        };
        let tail = folders::tail(&state.log, REASON_LINES).await;
        let reason = if tail.is_empty() {
            how
        } else {
            format!("{how}; the end of its log:\n{tail}")
        };
        Ok(Poll::Stopped { reason })
    }

    async fn stop(&self, state: &SpawnerState) -> Result<(), Error> {
        let state = State::read(state)?;
        stop::stop(&state, self.config.term_timeout, self.config.kill_timeout).await?;
        self.children.forget(&state);
        Ok(())
    }

    async fn log_tail(&self, state: &SpawnerState, lines: usize) -> String {
        match State::read(state) {
            Ok(state) => folders::tail(&state.log, lines).await,
            Err(_) => String::new(),
        }
    }
}

impl LocalProcessSpawner {
    /// Where servers have accounts of their own, a port that is held for one may be taken by the program of another user,
    /// who would be given the visitors of the first.
    fn listens_itself(&self, state: &State) -> Result<Poll, Error> {
        if self.config.system_users {
            let listeners = port::listeners(state.port);
            let listeners = listeners.map_err(Error::io("look who listens"))?;
            let owner = process::owner(state.pid);
            if listeners.iter().any(|listener| Some(*listener) != owner) {
                let reason = "A program of another account listens on the server's port".to_owned();
                return Ok(Poll::Stopped { reason });
            }
        }
        Ok(Poll::Running)
    }
}

/// How the server ended if it ended early; `None` as soon as it listens, or after a while.
async fn early_exit(exit: &Exit, port: u16, watch: Duration) -> Option<children::Ended> {
    tokio::select! {
        ended = children::ended(exit.clone()) => ended,
        () = port::listening(port) => None,
        () = tokio::time::sleep(watch) => None,
    }
}

fn could_not_run(cmd: &[String], error: &std::io::Error, user: Option<&str>) -> Error {
    let program = cmd.first().map_or("", String::as_str);
    let why = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "there is no such program (nor on the PATH of the servers)".to_owned()
        }
        std::io::ErrorKind::PermissionDenied => match user {
            Some(user) => format!("there is none on the PATH of the servers that {user} may run"),
            None => "it is not an executable file".to_owned(),
        },
        _ => error.to_string(),
    };
    Error::Start(format!(
        "could not run `{program}`: {why}; set `Spawner.cmd` to the command of the server"
    ))
}

fn ended_at_once(cmd: &[String], exit: &children::Ended, tail: &str) -> String {
    let log = if tail.is_empty() {
        "its log is empty".to_owned()
    } else {
        format!("the end of its log:\n{tail}")
    };
    format!(
        "`{}` (`Spawner.cmd`) {exit} right after its start; {log}",
        cmd.join(" ")
    )
}

/// Runs file system work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Io {
        attempted: "work on files and processes".to_owned(),
        source: error.into(),
    })
}
