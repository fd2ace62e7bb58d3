//! The worker's end of its socket to the kernel.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use carrel_protocol::{Output, Report, Request, decode, encode, length};
use nix::unistd::dup2_stdin;

use crate::report;

/// Every report is answered by one request, so a report and its answer hold the lock together. Between cells the
/// main thread holds it, and what other threads of a cell show then waits for the next cell.
pub struct Channel(Mutex<File>);

impl Channel {
    /// Takes the socket from stdin, where cells find an empty file from here on.
    pub fn take_stdin() -> io::Result<Self> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        dup2_stdin(File::open("/dev/null")?)?;
        Ok(Self(Mutex::new(socket.into())))
    }

    /// Sends a report and waits for the kernel's answer; none when the kernel has closed its end.
    pub fn exchange(&self, report: &Report) -> io::Result<Option<Request>> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        socket.write_all(&encode(report)?)?;
        let mut head = [0; 4];
        match socket.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let mut body = vec![0; length(head)?];
        socket.read_exact(&mut body)?;
        decode(&body).map(Some)
    }

    /// Sends an output of a cell; returns when the kernel has taken it.
    pub fn send_output(&self, output: carrel_runtime::Output) {
        use carrel_runtime::Output as Sent;
        let output = match output {
            Sent::Display(bundle) => Output::Display(bundle.0),
            Sent::Result(bundle) => Output::Result(bundle.0),
            Sent::ClearOutput { wait } => Output::ClearOutput { wait },
            Sent::ThreadPanic(panic) => Output::ThreadPanic(report(panic)),
        };
        if let Err(error) = self.exchange(&Report::Output(output)) {
            eprintln!("carrel-worker: an output was lost: {error}");
        }
    }
}
