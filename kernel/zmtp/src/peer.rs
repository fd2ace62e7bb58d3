//! Clients of a socket: accepting them, and the life of one connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::greeting::{GreetingError, greet};
use super::listener::{Listener, Reading, Writing};
use super::outbox::Outbox;
use super::reader::{Command, Incoming, ReadError, Reader};
use super::{Kind, Limits};

/// A client that says less than a greeting in this time is none.
const GREETING_LIMIT: Duration = Duration::from_secs(10);
/// Out of file descriptors, accepting again at once would fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts clients until dropped. Connections that stand go on until their clients leave or the process ends.
#[derive(Debug)]
pub struct Accepting(AbortHandle);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a socket type does with its clients.
pub trait Attend: Send + Sync + 'static {
    const KIND: Kind;
    /// Most bytes of a message from a client.
    fn most(&self) -> usize;
    /// Serves one client while it is connected.
    fn attend(&self, client: Client, outbox: Outbox) -> impl Future<Output = ()> + Send;
}

/// The receiving side of a connection.
pub struct Client {
    /// Empty when the client chose none.
    pub identity: Bytes,
    reader: Reader<Reading>,
    most: usize,
}

/// What a client sent.
pub enum Sent {
    Message(Vec<Bytes>),
    Subscribe(Bytes),
    Cancel(Bytes),
}

impl Client {
    /// The next message or subscription; PINGs are answered. Not cancel-safe.
    pub async fn next(&mut self, outbox: &Outbox) -> Result<Sent, ReadError> {
        loop {
            match self.reader.next(self.most).await? {
                Incoming::Message(frames) => return Ok(Sent::Message(frames)),
                Incoming::Command(Command::Subscribe(topic)) => return Ok(Sent::Subscribe(topic)),
                Incoming::Command(Command::Cancel(topic)) => return Ok(Sent::Cancel(topic)),
                Incoming::Command(Command::Ping(context)) => outbox.pong(&context),
                Incoming::Command(Command::Ready(_) | Command::Other) => {}
            }
        }
    }
}

/// Accepts clients at `listener`, each of them served by `socket`.
pub fn accept<A: Attend>(listener: Listener, limits: Limits, socket: A) -> Accepting {
    let socket = Arc::new(socket);
    let places = Arc::new(Semaphore::new(limits.connections));
    let accepting = tokio::spawn(async move {
        loop {
            let (reading, writing) = match listener.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!("A client of {} was lost: {error}", A::KIND.name());
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::warn!(
                    "{} clients of {} are connected; one more was refused",
                    limits.connections,
                    A::KIND.name()
                );
                continue;
            };
            let socket = socket.clone();
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = serve(&*socket, limits, reading, writing).await {
                    tracing::warn!("A client of {} was refused: {error}", A::KIND.name());
                }
            });
        }
    });
    Accepting(accepting.abort_handle())
}

async fn serve<A: Attend>(
    socket: &A,
    limits: Limits,
    reading: Reading,
    mut writing: Writing,
) -> Result<(), GreetingError> {
    let mut reader = Reader::new(reading);
    let greeting = greet(A::KIND, &mut reader, &mut writing);
    let identity = match tokio::time::timeout(GREETING_LIMIT, greeting).await {
        Ok(Ok(identity)) => identity,
        // It went away, as a client does that only looks whether someone listens.
        Ok(Err(GreetingError::Io(_) | GreetingError::Read(ReadError::Io(_)))) => return Ok(()),
        Ok(Err(error)) => return Err(error),
        Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    };
    let most = socket.most();
    let client = Client {
        identity,
        reader,
        most,
    };
    let (outbox, writer) = Outbox::open(writing, limits);
    tokio::select! {
        () = socket.attend(client, outbox) => {}
        written = writer => {
            if let Err(error) = written {
                tracing::debug!("A client of {} left: {error}", A::KIND.name());
            }
        }
    }
    Ok(())
}

/// Tells why a client's messages end, where it is not the usual end.
pub fn tell(kind: Kind, error: &ReadError) {
    match error {
        ReadError::Io(error) => tracing::debug!("A client of {} left: {error}", kind.name()),
        error => tracing::warn!("A client of {} was dropped; it sent {error}", kind.name()),
    }
}
