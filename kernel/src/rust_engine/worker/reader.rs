//! What the worker says, on its socket and its pipes.

use std::collections::VecDeque;

use carrel_protocol::{Report, take_frame};
use tokio::io::AsyncReadExt;
use tokio::net::unix::OwnedReadHalf;
use tokio::process::{ChildStderr, ChildStdout};

use super::event::Event;
use super::pipe::Pipe;
use crate::engine::StreamName;

const CHUNK: usize = 64 * 1024;

/// The worker's end of all that the kernel reads.
#[derive(Debug)]
pub struct Reader {
    socket: OwnedReadHalf,
    /// What was read of the next frame.
    partial: Vec<u8>,
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
}

pub enum Read {
    Report(Report),
    Text(Event),
    Closed,
}

impl Reader {
    pub fn new(socket: OwnedReadHalf, stdout: ChildStdout, stderr: ChildStderr) -> Self {
        Self {
            socket,
            partial: Vec::new(),
            stdout: Pipe::new(stdout, StreamName::Stdout),
            stderr: Pipe::new(stderr, StreamName::Stderr),
        }
    }

    /// Waits until the worker can take cells; what it said instead if it cannot.
    pub async fn ready(&mut self) -> Result<(), String> {
        let mut said = String::new();
        loop {
            match self.next().await {
                Read::Report(Report::Ready) => return Ok(()),
                Read::Report(_) => {
                    return Err("it does not speak this kernel's protocol".to_owned());
                }
                Read::Text(Event::Printed(_, text)) => said.push_str(&text),
                Read::Text(_) => {}
                Read::Closed => return Err(said),
            }
        }
    }

    /// Cancel-safe: what was read stays in the buffers.
    pub async fn next(&mut self) -> Read {
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

    /// What was printed until now; `last` if no more of the cell comes.
    pub fn printed(&mut self, last: bool) -> VecDeque<Event> {
        let mut printed = VecDeque::new();
        self.stdout.drain(last, &mut printed);
        self.stderr.drain(last, &mut printed);
        printed
    }

    fn whole_frame(&mut self) -> Option<Read> {
        // A frame that is none: a cell wrote into the socket, and nothing after it can be trusted.
        let report = take_frame(&mut self.partial)?;
        Some(report.map_or(Read::Closed, Read::Report))
    }
}
