//! A ROUTER socket: each client has a queue of its own, and messages name the client by their first frame.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::outbox::Outbox;
use super::peer::{Accepting, Attend, Client, Sent, accept, tell};
use super::{Kind, Limits, Listener};

/// What one permit of the budget for received messages stands for.
const PERMIT: usize = 1024;

/// The sending side; clones share the socket, which closes with the last of them.
#[derive(Debug, Clone)]
pub struct Router {
    clients: Clients,
    _accepting: Arc<Accepting>,
}

type Clients = Arc<Mutex<HashMap<Bytes, (u64, Outbox)>>>;

/// A message of a client, the client's identity first. Its bytes count against [`Limits::received`] until this is dropped.
#[derive(Debug)]
pub struct Received {
    pub frames: Vec<Bytes>,
    pub held: OwnedSemaphorePermit,
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    #[error("the client is gone")]
    Gone,
    #[error("the client does not read, and was dropped")]
    Stalled,
}

impl Router {
    /// Serves the clients of `listener`; their messages come out of the receiver.
    pub fn open(listener: Listener, limits: Limits) -> (Self, mpsc::Receiver<Received>) {
        let (queue, received) = mpsc::channel(1);
        let clients = Clients::default();
        let socket = Socket {
            clients: clients.clone(),
            joined: AtomicU64::new(0),
            queue,
            budget: Arc::new(Semaphore::new(limits.received / PERMIT)),
            limits,
        };
        let accepting = Arc::new(accept(listener, limits, socket));
        let router = Self {
            clients,
            _accepting: accepting,
        };
        (router, received)
    }

    /// Sends to the client that the first frame names; waits while too much waits for it already.
    pub async fn send(&self, message: &[Bytes]) -> Result<(), Unsent> {
        let (identity, rest) = message.split_first().ok_or(Unsent::Gone)?;
        let client = lock(&self.clients).get(identity).cloned();
        let (_, outbox) = client.ok_or(Unsent::Gone)?;
        match outbox.send(rest).await {
            true => Ok(()),
            false => Err(Unsent::Stalled),
        }
    }

    /// Waits until all clients took what was sent to them; not longer than `limit`.
    pub async fn flush(&self, limit: Duration) {
        let outboxes: Vec<Outbox> = lock(&self.clients)
            .values()
            .map(|(_, outbox)| outbox.clone())
            .collect();
        let flush = async {
            for outbox in &outboxes {
                outbox.flush(limit).await;
            }
        };
        let _ = tokio::time::timeout(limit, flush).await;
    }
}

struct Socket {
    clients: Clients,
    /// Clients until now.
    joined: AtomicU64,
    queue: mpsc::Sender<Received>,
    budget: Arc<Semaphore>,
    limits: Limits,
}

impl Attend for Socket {
    const KIND: Kind = Kind::Router;

    fn most(&self) -> usize {
        self.limits.message
    }

    async fn attend(&self, mut client: Client, outbox: Outbox) {
        let number = self.joined.fetch_add(1, Ordering::Relaxed);
        let identity = match client.identity.is_empty() {
            // As libzmq: no client may choose an identity that starts with a zero.
            true => [&[0], number.to_be_bytes().as_slice()].concat().into(),
            false => client.identity.clone(),
        };
        let joined = (number, outbox.clone());
        // The newest of one identity counts, as with ZMQ_ROUTER_HANDOVER: after a break, a client is back before the
        // end of its old connection is noticed.
        if let Some((_, older)) = lock(&self.clients).insert(identity.clone(), joined) {
            older.drop_client();
        }
        let _leaving = Leaving {
            clients: &self.clients,
            identity: &identity,
            number,
        };
        loop {
            match client.next(&outbox).await {
                Ok(Sent::Message(frames)) => {
                    if !self.receive(&identity, frames).await {
                        return;
                    }
                }
                Ok(Sent::Subscribe(_) | Sent::Cancel(_)) => {}
                Err(error) => return tell(Self::KIND, &error),
            }
        }
    }
}

impl Socket {
    /// False when nobody receives any more.
    async fn receive(&self, identity: &Bytes, mut frames: Vec<Bytes>) -> bool {
        frames.insert(0, identity.clone());
        let size: usize = frames.iter().map(Bytes::len).sum();
        let permits = size.div_ceil(PERMIT).min(self.limits.received / PERMIT);
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let Ok(held) = self.budget.clone().acquire_many_owned(permits).await else {
            return false;
        };
        self.queue.send(Received { frames, held }).await.is_ok()
    }
}

/// Forgets a client when its connection ends, unless a newer one of its identity is there.
struct Leaving<'a> {
    clients: &'a Clients,
    identity: &'a Bytes,
    number: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut clients = lock(self.clients);
        if clients
            .get(self.identity)
            .is_some_and(|(number, _)| *number == self.number)
        {
            clients.remove(self.identity);
        }
    }
}

fn lock(clients: &Clients) -> MutexGuard<'_, HashMap<Bytes, (u64, Outbox)>> {
    clients.lock().unwrap_or_else(PoisonError::into_inner)
}
