//! Messages from one rank to another, outside what all do together: those of parameter servers.

use std::io::{self, Read};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::error::RanksError;
use crate::operation::{Head, Operation, out_of_step};
use crate::ranks::Ranks;
use crate::stream::{sleep, some, unless_full};

/// More than the parameters of any model; a longer message is none.
const LONGEST: u64 = 1 << 40;
/// Memory is taken as bytes come, not as a head claims.
const STEP: usize = 1 << 20;

/// A message of a rank.
#[derive(Debug)]
pub struct Message {
    pub operation: Operation,
    pub bytes: Vec<u8>,
}

/// What has come of a rank's next message.
pub struct Inbox {
    rank: usize,
    head: Head,
    of_head: usize,
    bytes: Vec<u8>,
    received: usize,
}

impl Inbox {
    pub fn new(rank: usize) -> Self {
        Self {
            rank,
            head: [0; 16],
            of_head: 0,
            bytes: Vec::new(),
            received: 0,
        }
    }

    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Takes what is there; whether the message is whole.
    fn fill(&mut self, mut stream: &TcpStream) -> io::Result<bool> {
        while self.of_head < self.head.len() {
            match unless_full(|| some(stream.read(&mut self.head[self.of_head..])))? {
                0 => return Ok(false),
                count => self.of_head += count,
            }
        }
        let length = Operation::of(&self.head).2;
        if length > LONGEST {
            let reason = format!("a message of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let length = length as usize;
        while self.received < length {
            if self.received == self.bytes.len() {
                self.bytes.resize(length.min(self.received + STEP), 0);
            }
            match unless_full(|| some(stream.read(&mut self.bytes[self.received..])))? {
                0 => return Ok(false),
                count => self.received += count,
            }
        }
        Ok(true)
    }

    fn take(&mut self) -> (Head, Vec<u8>) {
        let head = self.head;
        let bytes = std::mem::take(&mut self.bytes);
        (self.of_head, self.received) = (0, 0);
        (head, bytes)
    }
}

impl Ranks {
    /// Sends the parts of a message, one after the other.
    ///
    /// # Errors
    /// When a rank is lost.
    pub fn send(&self, to: usize, operation: Operation, parts: &[&[u8]]) -> Result<(), RanksError> {
        let length = parts.iter().map(|part| part.len()).sum();
        self.write(to, &operation.head(0, length))?;
        parts.iter().try_for_each(|part| self.write(to, part))
    }

    /// The next message of a rank, which must be of this kind.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn receive(&self, from: usize, operation: Operation) -> Result<Vec<u8>, RanksError> {
        let mut inbox = Inbox::new(from);
        loop {
            let inboxes = std::slice::from_mut(&mut inbox);
            if let Some((_, message)) = self.next_message(inboxes, None)? {
                let length = message.bytes.len();
                return match message.operation == operation {
                    true => Ok(message.bytes),
                    false => Err(out_of_step(
                        from,
                        &operation.head(0, length),
                        &message.operation.head(0, length),
                    )),
                };
            }
        }
    }

    /// The next whole message of any of these ranks, or None after `patience`.
    ///
    /// # Errors
    /// When a rank is lost or says what is no message.
    pub fn next_message(
        &self,
        inboxes: &mut [Inbox],
        patience: Option<Duration>,
    ) -> Result<Option<(usize, Message)>, RanksError> {
        for inbox in inboxes.iter_mut() {
            if self.with(inbox.rank, |stream| inbox.fill(stream))? {
                let (head, bytes) = inbox.take();
                let (Some(operation), ..) = Operation::of(&head) else {
                    return Err(out_of_step(inbox.rank, &[0; 16], &head));
                };
                return Ok(Some((inbox.rank, Message { operation, bytes })));
            }
        }
        let mut waiting = Vec::with_capacity(inboxes.len());
        for inbox in inboxes.iter() {
            if let Some(peer) = &self.peers[inbox.rank] {
                waiting.push(PollFd::new(peer.stream.as_fd(), PollFlags::POLLIN));
            }
        }
        let timeout = match patience {
            Some(patience) => PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        let first = inboxes.first().map_or(self.rank, Inbox::rank);
        self.with(first, |_| sleep(&mut waiting, timeout))?;
        Ok(None)
    }
}
