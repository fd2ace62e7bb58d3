//! The five sockets of a kernel, bound together, and the messages of those that are a ROUTER.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use carrel_zmtp::{Address, Limits, Listener, Received, Router};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::connection::ConnectionFile;
use crate::wire::frames::Codec;
use crate::wire::message::Message;

/// How long the last messages may take to reach the system before the kernel ends.
pub const LINGER: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
#[error("cannot bind the {socket} socket to {address}: {source}")]
pub struct BindError {
    socket: &'static str,
    address: Address,
    source: io::Error,
}

pub struct Sockets {
    pub shell: Listener,
    pub control: Listener,
    pub stdin: Listener,
    pub iopub: Listener,
    pub heartbeat: Listener,
}

impl Sockets {
    /// Binds all five sockets at the addresses of the connection file.
    pub async fn bind(connection: &ConnectionFile) -> Result<Self, BindError> {
        Ok(Self {
            shell: bind("shell", connection.address(connection.shell_port)).await?,
            control: bind("control", connection.address(connection.control_port)).await?,
            stdin: bind("stdin", connection.address(connection.stdin_port)).await?,
            iopub: bind("iopub", connection.address(connection.iopub_port)).await?,
            heartbeat: bind("heartbeat", connection.address(connection.hb_port)).await?,
        })
    }
}

async fn bind(socket: &'static str, address: Address) -> Result<Listener, BindError> {
    Listener::bind(&address).await.map_err(|source| BindError {
        socket,
        address,
        source,
    })
}

/// The sending side of a ROUTER channel; clones share the socket.
#[derive(Clone)]
pub struct Sender {
    name: &'static str,
    codec: Arc<Codec>,
    router: Router,
}

impl Sender {
    /// Sends, or logs why not: a client that went away must not end the kernel.
    pub async fn send(&self, message: Message) {
        if let Err(error) = self.router.send(&self.codec.encode(&message)).await {
            let msg_type = &message.header.msg_type;
            tracing::warn!(channel = self.name, "{msg_type} was not sent: {error}");
        }
    }

    /// Waits until the clients took what was sent to them, or for [`LINGER`].
    pub async fn flush(&self) {
        self.router.flush(LINGER).await;
    }
}

/// A valid message of a client; it counts against the channel's bound on memory until it is dropped.
pub struct Incoming {
    message: Message,
    _held: OwnedSemaphorePermit,
}

impl Deref for Incoming {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// Serves a ROUTER channel: its sender, and a queue of the valid messages received.
pub fn open(
    name: &'static str,
    listener: Listener,
    codec: &Arc<Codec>,
) -> (Sender, mpsc::UnboundedReceiver<Incoming>) {
    let (router, received) = Router::open(listener, Limits::default());
    let (queue, messages) = mpsc::unbounded_channel();
    tokio::spawn(receive_all(name, received, codec.clone(), queue));
    let codec = codec.clone();
    (
        Sender {
            name,
            codec,
            router,
        },
        messages,
    )
}

async fn receive_all(
    name: &'static str,
    mut received: mpsc::Receiver<Received>,
    codec: Arc<Codec>,
    queue: mpsc::UnboundedSender<Incoming>,
) {
    while let Some(Received { frames, held }) = received.recv().await {
        match codec.decode(frames) {
            Ok(message) => {
                let msg_type = &message.header.msg_type;
                tracing::debug!(channel = name, msg_type, "Received");
                let incoming = Incoming {
                    message,
                    _held: held,
                };
                if queue.send(incoming).is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(channel = name, "A message was dropped: {error}"),
        }
    }
}
