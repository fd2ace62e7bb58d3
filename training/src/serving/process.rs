//! The process of a server: its start, requests to it, and its end. It holds one end of a pipe, and ends when this process is
//! gone, however that came about.

use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use ureq::http::{Request, StatusCode};

use super::folder::Folder;
use super::infer::{Body, LENGTH};
use super::{SERVER_VARIABLE, ServeError, io_error, lock};
use crate::http;
use crate::programs;
use crate::trainer::unwind_if_interrupted;

const PROGRAM: &str = "carrel-model-server";
/// Until it says its ports.
const START: Duration = Duration::from_secs(30);
/// Of one request.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at whether one is interrupted.
const PAUSE: Duration = Duration::from_millis(50);
/// What requests that run have at the end, in seconds.
const DRAIN: u64 = 5;
/// The largest request, and the largest answer.
const LARGEST: u64 = 1 << 30;

/// As it says them.
#[derive(Clone, Copy, Deserialize)]
struct Ports {
    http: u16,
    grpc: u16,
}

pub(super) struct Process {
    ports: Ports,
    agent: ureq::Agent,
    /// None once it was stopped.
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts the program for the model `name`, whose versions are in `folder`.
    pub fn start(name: &str, folder: &Folder) -> Result<Self, ServeError> {
        let program = program()?;
        let log = folder.log();
        let log = File::create(&log).map_err(io_error(&log))?;
        let mut child = Command::new(&program)
            .args(["--address", "127.0.0.1", "--port", "0"])
            .args(["--rest-api-port", "0", "--model-control"])
            .args(["--model-name", name, "--model-base-path"])
            .arg(folder.versions())
            .arg("--tokens")
            .arg(folder.tokens())
            .arg("--child")
            .arg(folder.path())
            .args(["--drain-seconds", &DRAIN.to_string()])
            .args(["--largest-body", &LARGEST.to_string()])
            // It is told of new versions.
            .args(["--file-system-poll-wait-seconds", "3600"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // An interrupt of the kernel is not for it.
            .process_group(0)
            .spawn()
            .map_err(io_error(&program))?;
        let out = child.stdout.take();
        // Ends it where the rest fails, or is interrupted.
        let guard = Guard(Some(child));
        let ports = out.and_then(ports).ok_or_else(|| ServeError::Ended {
            name: name.to_owned(),
            log: folder.log_text(),
        })?;
        let agent = http::agent()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .build();
        Ok(Self {
            ports,
            agent: agent.into(),
            child: Mutex::new(guard.keep()),
        })
    }

    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.http)
    }

    pub fn grpc(&self) -> String {
        format!("127.0.0.1:{}", self.ports.grpc)
    }

    pub fn is_running(&self) -> bool {
        let mut child = lock(&self.child);
        child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub fn was_stopped(&self) -> bool {
        lock(&self.child).is_none()
    }

    pub fn stop(&self) {
        // Nobody waits for the lock until it has ended.
        let child = lock(&self.child).take();
        if let Some(child) = child {
            end(child);
        }
    }

    /// Loads a version that is in the folder, however long that takes. An interrupt ends the waiting, not the loading.
    pub fn load(&self, name: &str, version: u64, folder: &Folder) -> Result<(), ServeError> {
        let load = format!("/v2/repository/models/{name}/load");
        // Where another version is served meanwhile, only the state of this one says what became of it.
        let state = format!("/v1/models/{name}/versions/{version}");
        loop {
            let loaded = self.ask("POST", &load, folder, Body::default());
            let timed_out = matches!(loaded, Err(ServeError::Unreachable { .. }));
            let state = match self.ask("GET", &state, folder, Body::default()) {
                Ok(state) => state,
                Err(error @ ServeError::Unreachable { .. }) => return loaded.and(Err(error)),
                // One that was interrupted is loaded before it.
                Err(_) if timed_out => {
                    pause();
                    continue;
                }
                Err(error) => return loaded.and(Err(error)),
            };
            let states: States = serde_json::from_slice(&state.bytes)
                .map_err(|error| ServeError::Answer(error.to_string()))?;
            match states.model_version_status.into_iter().next() {
                Some(one) if one.state == "AVAILABLE" => return Ok(()),
                // The server does nothing twice: to ask again is to wait.
                Some(one) if one.state == "LOADING" => pause(),
                Some(one) => return Err(ServeError::Refused(one.status.error_message)),
                None => return loaded.map(drop),
            }
        }
    }

    /// The answer to a request, if it is a good one. An interrupt ends the waiting.
    pub fn ask(
        &self,
        method: &str,
        path: &str,
        folder: &Folder,
        body: Body,
    ) -> Result<Body, ServeError> {
        let url = format!("{}{path}", self.http());
        let unreachable = |reason: &dyn ToString| ServeError::Unreachable {
            url: url.clone(),
            reason: reason.to_string(),
        };
        let mut request = http::request(method, &url, Some(folder.token()));
        if let Some(length) = body.json {
            request = request.header(LENGTH, length);
        }
        let request = request.body(body.bytes);
        let request = request.map_err(|error| unreachable(&error))?;
        let agent = self.agent.clone();
        let asked = interruptibly(move || answer(&agent, request), None);
        // None where its thread is gone.
        let asked = asked.ok_or_else(|| unreachable(&"the request broke off"))?;
        let (status, body) = asked.map_err(|error| unreachable(&error))?;
        match status.is_success() {
            true => Ok(body),
            false => Err(refused(&body.bytes, status.as_u16())),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// As TensorFlow Serving says how versions stand.
#[derive(Deserialize)]
struct States {
    model_version_status: Vec<State>,
}

#[derive(Deserialize)]
struct State {
    state: String,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    error_message: String,
}

/// Whatever the answer is.
fn answer(
    agent: &ureq::Agent,
    request: Request<Vec<u8>>,
) -> Result<(StatusCode, Body), ureq::Error> {
    let mut answer = agent.run(request)?;
    let length = answer.headers().get(LENGTH);
    let json = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes = answer.body_mut().with_config().limit(LARGEST).read_to_vec();
    Ok((
        answer.status(),
        Body {
            json,
            bytes: bytes?,
        },
    ))
}

/// What a refusal says.
fn refused(bytes: &[u8], status: u16) -> ServeError {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    match serde_json::from_slice(bytes) {
        Ok(Refusal { error }) => ServeError::Refused(error),
        Err(_) => ServeError::Answer(format!("its status is {status}")),
    }
}

/// Ends a process where it is not kept.
struct Guard(Option<Child>);

impl Guard {
    fn keep(mut self) -> Option<Child> {
        self.0.take()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            end(child);
        }
    }
}

/// Lets it end by itself, and kills it where it does not.
fn end(mut child: Child) {
    drop(child.stdin.take());
    let begun = Instant::now();
    while let Ok(None) = child.try_wait() {
        if begun.elapsed() > Duration::from_secs(DRAIN + 2) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// What it says at its start; none where it ends before.
fn ports(out: ChildStdout) -> Option<Ports> {
    let read = || {
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).map(|_| line)
    };
    serde_json::from_str(&interruptibly(read, Some(START))?.ok()?).ok()
}

fn pause() {
    thread::sleep(PAUSE);
    unwind_if_interrupted();
}

/// What another thread comes to; none where it takes longer, or breaks off. An interrupt ends the waiting, not the thread.
fn interruptibly<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    limit: Option<Duration>,
) -> Option<T> {
    let (said, hears) = channel();
    thread::spawn(move || {
        // Nobody may wait any more.
        let _ = said.send(work());
    });
    let begun = Instant::now();
    while limit.is_none_or(|limit| begun.elapsed() < limit) {
        match hears.recv_timeout(PAUSE) {
            Ok(found) => return Some(found),
            Err(RecvTimeoutError::Timeout) => unwind_if_interrupted(),
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
    None
}

/// The one that was named, else beside the running program, else on the path.
fn program() -> Result<PathBuf, ServeError> {
    if let Some(program) = env::var_os(SERVER_VARIABLE).filter(|program| !program.is_empty()) {
        let program = PathBuf::from(program);
        File::open(&program).map_err(io_error(&program))?;
        return Ok(program);
    }
    programs::find(PROGRAM).ok_or(ServeError::NoProgram)
}

#[cfg(test)]
mod tests;
