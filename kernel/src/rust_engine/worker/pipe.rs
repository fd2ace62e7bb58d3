//! The worker's stdout and stderr as text.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::event::Event;
use crate::engine::StreamName;
use crate::rust_engine::text::Pieces;

const CHUNK: usize = 64 * 1024;

/// A pipe of printed bytes that come out as text.
#[derive(Debug)]
pub struct Pipe<R> {
    reader: R,
    name: StreamName,
    pieces: Pieces,
    closed: bool,
}

impl<R: AsyncRead + AsFd + Unpin> Pipe<R> {
    pub fn new(reader: R, name: StreamName) -> Self {
        Self {
            reader,
            name,
            pieces: Pieces::default(),
            closed: false,
        }
    }

    /// The next text; waits for ever once the pipe is closed.
    pub async fn read(&mut self) -> Event {
        let mut chunk = vec![0; CHUNK];
        loop {
            if self.closed {
                std::future::pending::<()>().await;
            }
            match self.reader.read(&mut chunk).await {
                Ok(0) | Err(_) => self.closed = true,
                Ok(count) => {
                    let text = self.pieces.add(&chunk[..count]);
                    if !text.is_empty() {
                        return Event::Printed(self.name, text);
                    }
                }
            }
        }
    }

    /// Takes what is in the pipe now, past tokio's readiness, which may lag behind the socket's. Bounded, for a
    /// thread of the cell may print for ever.
    pub fn drain(&mut self, last: bool, events: &mut VecDeque<Event>) {
        let mut bytes = Vec::new();
        let mut chunk = vec![0; CHUNK];
        while bytes.len() < 4 * CHUNK {
            match nix::unistd::read(self.reader.as_fd(), &mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        }
        let mut text = self.pieces.add(&bytes);
        if last {
            text.push_str(&self.pieces.end());
        }
        if !text.is_empty() {
            events.push_back(Event::Printed(self.name, text));
        }
    }
}
