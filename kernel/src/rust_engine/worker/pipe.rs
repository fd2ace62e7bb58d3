//! The worker's stdout and stderr as text.

use std::collections::VecDeque;
use std::os::fd::AsFd;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::event::Event;
use crate::engine::StreamName;

const CHUNK: usize = 64 * 1024;

/// A pipe of printed bytes that come out as text.
#[derive(Debug)]
pub struct Pipe<R> {
    reader: R,
    name: StreamName,
    /// The start of a character whose other bytes did not come yet.
    partial: Vec<u8>,
    closed: bool,
}

impl<R: AsyncRead + AsFd + Unpin> Pipe<R> {
    pub fn new(reader: R, name: StreamName) -> Self {
        Self {
            reader,
            name,
            partial: Vec::new(),
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
    pub fn drain(&mut self, last: bool, events: &mut VecDeque<Event>) {
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
