//! What the kernel says to the worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use carrel_protocol::{Request, encode};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Mutex;

/// The way to a worker; clones share it.
#[derive(Debug, Clone)]
pub struct Orders {
    socket: Arc<Mutex<OwnedWriteHalf>>,
    /// The cell that runs, and the last one that ran.
    running: Arc<AtomicU64>,
    last: Arc<AtomicU64>,
}

impl Orders {
    pub fn new(socket: OwnedWriteHalf) -> Self {
        Self {
            socket: Arc::new(Mutex::new(socket)),
            running: Arc::default(),
            last: Arc::default(),
        }
    }

    /// Hands a cell over. If the worker is gone, the next event says so.
    pub async fn run(&self, cell: u64, request: &Request) {
        self.running.store(cell, Ordering::Relaxed);
        self.last.store(cell, Ordering::Relaxed);
        let _ = self.send(request).await;
    }

    /// Asks a cell, and the programs that it started, to stop.
    pub async fn interrupt(&self, cell: u64) {
        let _ = self.send(&Request::Interrupt { cell }).await;
    }

    /// Confirms an output; its thread goes on.
    pub async fn taken(&self) {
        let _ = self.send(&Request::Taken).await;
    }

    /// Answers a question; no line means that nobody can be asked.
    pub async fn answer(&self, question: u64, line: Option<String>) {
        let _ = self.send(&Request::Answer { question, line }).await;
    }

    /// The running cell; 0 if there is none.
    pub(super) fn running(&self) -> u64 {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    pub(super) fn ended(&self) {
        self.running.store(0, Ordering::Relaxed);
    }

    async fn send(&self, request: &Request) -> io::Result<()> {
        self.socket.lock().await.write_all(&encode(request)?).await
    }
}
