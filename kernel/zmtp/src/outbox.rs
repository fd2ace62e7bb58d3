//! What waits to be sent to one client, bounded in bytes, and the writing of it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Limits;
use super::reader::{COMMAND, LONG, MORE};

/// Small frames are joined up to this size; larger ones are written in pieces of it, to see progress.
const CHUNK: usize = 64 * 1024;

/// Sends to one client; clones share the queue.
#[derive(Debug, Clone)]
pub struct Outbox {
    queue: mpsc::UnboundedSender<Outgoing>,
    waiting: Arc<Waiting>,
    limits: Limits,
}

#[derive(Debug)]
enum Outgoing {
    Message(Vec<Bytes>),
    Command(Bytes),
}

#[derive(Debug)]
struct Waiting {
    bytes: AtomicUsize,
    /// Since when the client could have taken more.
    since: Mutex<Instant>,
    /// The client took bytes, or left.
    taken: Notify,
    dropped: Notify,
}

impl Outbox {
    /// An outbox, and the future that writes what is put into it until the client leaves or is dropped.
    pub fn open(
        writing: impl AsyncWrite + Unpin,
        limits: Limits,
    ) -> (Self, impl Future<Output = io::Result<()>>) {
        let (queue, outgoing) = mpsc::unbounded_channel();
        let waiting = Arc::new(Waiting {
            bytes: AtomicUsize::new(0),
            since: Mutex::new(Instant::now()),
            taken: Notify::new(),
            dropped: Notify::new(),
        });
        let writer = Writer {
            writing,
            buffer: Vec::new(),
            queue: outgoing,
            waiting: waiting.clone(),
        };
        let outbox = Self {
            queue,
            waiting,
            limits,
        };
        (outbox, writer.run())
    }

    /// Puts a message into the queue; false when too much waits in it already.
    pub fn try_send(&self, message: &[Bytes]) -> bool {
        if self.bytes() >= self.limits.waiting && !self.has_left() {
            return false;
        }
        self.put(Outgoing::Message(message.to_vec()));
        true
    }

    /// Puts a message into the queue as soon as there is room; false when the client was dropped because it takes nothing.
    pub async fn send(&self, message: &[Bytes]) -> bool {
        while !self.try_send(message) {
            let before = self.bytes();
            let progress = self.until(|bytes| bytes < before);
            let end = *self.waiting.since() + self.limits.stall;
            if tokio::time::timeout_at(end, progress).await.is_err() {
                self.drop_client();
                return false;
            }
        }
        true
    }

    /// Answers a PING.
    pub fn pong(&self, context: &Bytes) {
        // Of a client that sends PINGs and does not read, the newest are not answered.
        if self.bytes() < self.limits.waiting {
            let pong = [b"\x04PONG".as_slice(), context].concat();
            self.put(Outgoing::Command(pong.into()));
        }
    }

    /// Waits until all was handed to the system, or the client left; not longer than `limit`.
    pub async fn flush(&self, limit: Duration) {
        let _ = tokio::time::timeout(limit, self.until(|bytes| bytes == 0)).await;
    }

    /// Closes the connection without waiting for what is in the queue.
    pub fn drop_client(&self) {
        self.waiting.dropped.notify_one();
    }

    async fn until(&self, reached: impl Fn(usize) -> bool) {
        loop {
            let taken = self.waiting.taken.notified();
            tokio::pin!(taken);
            // From here on no notification is missed.
            taken.as_mut().enable();
            if reached(self.bytes()) || self.has_left() {
                return;
            }
            taken.await;
        }
    }

    fn bytes(&self) -> usize {
        self.waiting.bytes.load(Ordering::Acquire)
    }

    /// Whether the connection ended.
    pub fn has_left(&self) -> bool {
        self.queue.is_closed()
    }

    fn put(&self, outgoing: Outgoing) {
        let before = self
            .waiting
            .bytes
            .fetch_add(outgoing.size(), Ordering::AcqRel);
        if before == 0 {
            *self.waiting.since() = Instant::now();
        }
        // A client that left is noticed by its reader.
        let _ = self.queue.send(outgoing);
    }
}

impl Outgoing {
    fn size(&self) -> usize {
        let size = |frame: &Bytes| head_size(frame.len()) + frame.len();
        match self {
            Self::Message(frames) => frames.iter().map(size).sum(),
            Self::Command(body) => size(body),
        }
    }
}

impl Waiting {
    fn since(&self) -> MutexGuard<'_, Instant> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Writer<W> {
    writing: W,
    buffer: Vec<u8>,
    queue: mpsc::UnboundedReceiver<Outgoing>,
    waiting: Arc<Waiting>,
}

impl<W> Drop for Writer<W> {
    fn drop(&mut self) {
        self.queue.close();
        self.waiting.taken.notify_waiters();
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    async fn run(mut self) -> io::Result<()> {
        let waiting = self.waiting.clone();
        tokio::select! {
            ended = self.write_all() => ended,
            () = waiting.dropped.notified() => Ok(()),
        }
    }

    async fn write_all(&mut self) -> io::Result<()> {
        while let Some(outgoing) = self.queue.recv().await {
            let mut next = Some(outgoing);
            while let Some(outgoing) = next {
                self.write(outgoing).await?;
                next = self.queue.try_recv().ok();
            }
            self.flush().await?;
        }
        Ok(())
    }

    async fn write(&mut self, outgoing: Outgoing) -> io::Result<()> {
        match outgoing {
            Outgoing::Command(body) => self.frame(COMMAND, &body).await,
            Outgoing::Message(frames) => {
                for (at, frame) in frames.iter().enumerate() {
                    let more = if at + 1 < frames.len() { MORE } else { 0 };
                    self.frame(more, frame).await?;
                }
                Ok(())
            }
        }
    }

    async fn frame(&mut self, flags: u8, body: &Bytes) -> io::Result<()> {
        match u8::try_from(body.len()) {
            Ok(length) => self.buffer.extend_from_slice(&[flags, length]),
            Err(_) => {
                self.buffer.put_u8(flags | LONG);
                self.buffer.put_u64(body.len() as u64);
            }
        }
        if self.buffer.len() + body.len() < CHUNK {
            self.buffer.extend_from_slice(body);
            return Ok(());
        }
        self.flush().await?;
        for piece in body.chunks(CHUNK) {
            self.writing.write_all(piece).await?;
            self.took(piece.len());
        }
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.writing.write_all(&self.buffer).await?;
        self.took(self.buffer.len());
        self.buffer.clear();
        Ok(())
    }

    fn took(&self, bytes: usize) {
        self.waiting.bytes.fetch_sub(bytes, Ordering::AcqRel);
        *self.waiting.since() = Instant::now();
        self.waiting.taken.notify_waiters();
    }
}

fn head_size(body: usize) -> usize {
    if body <= usize::from(u8::MAX) { 2 } else { 9 }
}
