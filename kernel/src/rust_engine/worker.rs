//! The worker process: its socket, its pipes, its life.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use carrel_protocol::{Ending, Output as Sent, Report, Request, encode, take_frame};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use super::prelude::{Prelude, WORKER};
use crate::engine::StreamName;

/// How long loading the libraries may take.
const START_LIMIT: Duration = Duration::from_secs(20);
const CHUNK: usize = 64 * 1024;
/// How many threads libraries compute on; read by rayon and candle.
const THREADS: &str = "RAYON_NUM_THREADS";

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    socket: UnixStream,
    /// What was read of the next frame.
    partial: Vec<u8>,
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
    /// Text that was printed before the next report.
    printed: VecDeque<Event>,
}

/// What comes from the worker while a cell runs, in order.
#[derive(Debug)]
pub enum Event {
    Printed(StreamName, String),
    /// To be confirmed by [`Worker::taken`].
    Output(Sent),
    /// To be answered by [`Worker::answer`].
    Question {
        question: u64,
        prompt: String,
        password: bool,
    },
    Ended {
        ending: Ending,
        variables: Vec<String>,
    },
    /// The process is gone.
    Died(ExitStatus),
}

impl Worker {
    /// Starts a worker, with these variables beside the kernel's, and waits until it can take cells.
    pub async fn start(
        prelude: &Prelude,
        environment: &BTreeMap<String, String>,
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
        let mut worker = Self {
            child,
            socket,
            partial: Vec::new(),
            stdout: Pipe::new(stdout, StreamName::Stdout),
            stderr: Pipe::new(stderr, StreamName::Stderr),
            printed: VecDeque::new(),
        };
        match tokio::time::timeout(START_LIMIT, worker.ready()).await {
            Ok(Ok(())) => Ok(worker),
            Ok(Err(reason)) => Err(failed("it ended", &reason)),
            Err(_) => Err(failed(
                "it did not answer within",
                &format!("{START_LIMIT:?}"),
            )),
        }
    }

    async fn ready(&mut self) -> Result<(), String> {
        let mut said = String::new();
        loop {
            match self.frame_or_text().await {
                Read::Report(Report::Ready) => return Ok(()),
                Read::Report(_) => {
                    return Err("it does not speak this kernel's protocol".to_owned());
                }
                Read::Text(Event::Printed(_, text)) => said.push_str(&text),
                Read::Text(_) => {}
                Read::Closed => {
                    let status = self.status().await;
                    return Err(format!("{status} {said}"));
                }
            }
        }
    }

    /// Hands a cell over; follow it with [`Worker::next`] until it ended.
    pub async fn send(&mut self, request: &Request) -> io::Result<()> {
        self.socket.write_all(&encode(request)?).await
    }

    /// Confirms an [`Event::Output`]; the cell goes on.
    pub async fn taken(&mut self) {
        // If the worker is gone, the next event says so.
        let _ = self.send(&Request::Taken).await;
    }

    /// Answers an [`Event::Question`]; no line means that nobody can be asked.
    pub async fn answer(&mut self, question: u64, line: Option<String>) {
        let _ = self.send(&Request::Answer { question, line }).await;
    }

    /// The next event. Cancel-safe. Everything printed before an output or an end comes before it.
    pub async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.printed.pop_front() {
                return event;
            }
            let event = match self.frame_or_text().await {
                Read::Text(event) => return event,
                Read::Report(Report::Output(output)) => Event::Output(output),
                Read::Report(Report::Question {
                    question,
                    prompt,
                    password,
                }) => Event::Question {
                    question,
                    prompt,
                    password,
                },
                Read::Report(Report::Ended { ending, variables }) => {
                    Event::Ended { ending, variables }
                }
                Read::Report(Report::Ready) => continue,
                Read::Closed => Event::Died(self.status().await),
            };
            let last = matches!(event, Event::Ended { .. } | Event::Died(_));
            self.stdout.drain(last, &mut self.printed);
            self.stderr.drain(last, &mut self.printed);
            self.printed.push_back(event);
        }
    }

    /// The group of the worker and of what cells started, for [`interrupt`]; none when the worker has ended.
    pub fn group(&self) -> Option<Pid> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        pid.map(Pid::from_raw)
    }

    /// Kills the worker and everything that cells started in its group.
    pub async fn kill(&mut self) {
        if let Some(group) = self.group() {
            // An error means that the group is gone already.
            let _ = killpg(group, Signal::SIGKILL);
        }
        let _ = self.child.wait().await;
    }

    async fn status(&mut self) -> ExitStatus {
        let group = self.group();
        // A cell that closed the socket by force is a dead worker too.
        let ended = tokio::time::timeout(Duration::from_secs(1), self.child.wait()).await;
        if let Some(group) = group {
            let _ = killpg(group, Signal::SIGKILL);
        }
        match ended {
            Ok(Ok(status)) => status,
            _ => self
                .child
                .wait()
                .await
                .unwrap_or_else(|_| ExitStatus::from_raw(0)),
        }
    }

    /// Cancel-safe: what was read stays in the buffers.
    async fn frame_or_text(&mut self) -> Read {
        loop {
            if let Some(read) = self.whole_frame() {
                return read;
            }
            let mut chunk = vec![0; CHUNK];
            tokio::select! {
                read = self.socket.read(&mut chunk) => match read {
                    Ok(0) | Err(_) => return Read::Closed,
                    Ok(count) => self.partial.extend_from_slice(&chunk[..count]),
                },
                text = self.stdout.read() => return Read::Text(text),
                text = self.stderr.read() => return Read::Text(text),
            }
        }
    }

    fn whole_frame(&mut self) -> Option<Read> {
        // A frame that is none: a cell wrote into the socket, and nothing after it can be trusted.
        let report = take_frame(&mut self.partial)?;
        Some(report.map_or(Read::Closed, Read::Report))
    }
}

/// Asks the running cell, and what it started, to stop.
pub fn interrupt(group: Option<Pid>) {
    if let Some(group) = group {
        // An error means that the group is gone already.
        let _ = killpg(group, Signal::SIGINT);
    }
}

enum Read {
    Report(Report),
    Text(Event),
    Closed,
}

/// A pipe of printed bytes that come out as text.
#[derive(Debug)]
struct Pipe<R> {
    reader: R,
    name: StreamName,
    /// The start of a character whose other bytes did not come yet.
    partial: Vec<u8>,
    closed: bool,
}

impl<R: AsyncRead + AsFd + Unpin> Pipe<R> {
    fn new(reader: R, name: StreamName) -> Self {
        Self {
            reader,
            name,
            partial: Vec::new(),
            closed: false,
        }
    }

    /// The next text; waits for ever once the pipe is closed.
    async fn read(&mut self) -> Event {
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.closed {
                std::future::pending::<()>().await;
            }
            match self.reader.read(&mut chunk).await {
                Ok(0) | Err(_) => self.closed = true,
                Ok(count) => {
                    let text = self.text(&chunk[..count]);
                    if !text.is_empty() {
                        return Event::Printed(self.name, text);
                    }
                }
            }
        }
    }

    /// Takes what is in the pipe now, past tokio's readiness, which may lag behind the socket's. Bounded, for a
    /// thread of the cell may print for ever.
    fn drain(&mut self, last: bool, events: &mut VecDeque<Event>) {
        let mut bytes = Vec::new();
        let mut chunk = vec![0; CHUNK];
        while bytes.len() < 4 * CHUNK {
            match nix::unistd::read(self.reader.as_fd(), &mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        }
        let mut text = self.text(&bytes);
        if last {
            text.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.partial)));
        }
        if !text.is_empty() {
            events.push_back(Event::Printed(self.name, text));
        }
    }

    /// The bytes as text, without the start of a character that may go on in the next bytes.
    fn text(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let complete = self.partial.len() - incomplete_tail(&self.partial);
        let rest = self.partial.split_off(complete);
        let text = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial = rest;
        text
    }
}

/// How many bytes at the end are the start of a longer character.
fn incomplete_tail(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let length = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if back < length { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::incomplete_tail;

    #[test]
    fn only_a_started_character_waits_for_more() {
        assert_eq!(incomplete_tail("plain".as_bytes()), 0);
        assert_eq!(incomplete_tail("é".as_bytes()), 0);
        assert_eq!(incomplete_tail(&"é".as_bytes()[..1]), 1);
        assert_eq!(incomplete_tail(&"a🦀".as_bytes()[..4]), 3);
        assert_eq!(incomplete_tail(&[0x80, 0x80]), 0);
    }
}
