//! The threads of the listener: each runs its jobs to their end, on a runtime of its own. Knows no connection.

use std::io;
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Begins its work on the thread that it is given to.
pub(crate) type Job = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// Threads that share nothing. Those of a work-stealing runtime wake each other for most small requests, which
/// costs the proxy a fifth of its rate.
pub(crate) struct Workers {
    queues: Vec<mpsc::UnboundedSender<Job>>,
    next: usize,
    /// Closes when the last thread has ended; nothing is sent.
    ended: mpsc::Receiver<()>,
}

impl Workers {
    /// Jobs may take `drain` longer than [`Workers::end`] is called, or than the workers are dropped.
    pub(crate) fn start(threads: usize, drain: Duration) -> io::Result<Self> {
        let (alive, ended) = mpsc::channel(1);
        let mut queues = Vec::new();
        for _ in 0..threads.max(1) {
            let (sender, queue) = mpsc::unbounded_channel();
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let alive = alive.clone();
            thread::Builder::new()
                .name("proxy".to_owned())
                .spawn(move || {
                    work(runtime, queue, drain);
                    drop(alive);
                })?;
            queues.push(sender);
        }
        let next = 0;
        Ok(Self {
            queues,
            next,
            ended,
        })
    }

    /// Gives `job` to the next thread in turn.
    pub(crate) fn run(&mut self, job: Job) {
        self.next = (self.next + 1) % self.queues.len();
        if self.queues[self.next].send(job).is_err() {
            tracing::error!("A thread of the proxy has ended early; a connection is dropped");
        }
    }

    /// Lets the jobs under way end.
    pub(crate) async fn end(mut self) {
        self.queues.clear();
        while self.ended.recv().await.is_some() {}
    }
}

fn work(runtime: Runtime, mut queue: mpsc::UnboundedReceiver<Job>, drain: Duration) {
    runtime.block_on(async {
        let mut jobs = JoinSet::new();
        loop {
            tokio::select! {
                job = queue.recv() => match job {
                    Some(job) => drop(jobs.spawn(job())),
                    None => break,
                },
                _ = jobs.join_next(), if !jobs.is_empty() => {}
            }
        }
        let drained =
            tokio::time::timeout(drain, async { while jobs.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!(
                connections = jobs.len(),
                "Requests did not end in time and are broken off"
            );
        }
    });
    // A look-up of a target's name that hangs is not waited for.
    runtime.shutdown_background();
}
