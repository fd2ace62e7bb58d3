//! The five sockets of a kernel: bound together, then one task each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use zeromq::{
    RepSocket, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketRecv, SocketSend,
    XPubSocket, ZmqMessage,
};

use crate::connection::ConnectionFile;
use crate::wire::frames::Codec;
use crate::wire::message::Message;

/// How long a reply may wait for a client whose queue is full.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("cannot bind the {socket} socket to {endpoint}: {source}")]
pub struct BindError {
    socket: &'static str,
    endpoint: String,
    source: zeromq::ZmqError,
}

pub struct Sockets {
    pub shell: RouterSocket,
    pub control: RouterSocket,
    pub stdin: RouterSocket,
    pub iopub: XPubSocket,
    pub heartbeat: RepSocket,
}

impl Sockets {
    /// Binds all five sockets at the addresses of the connection file.
    pub async fn bind(connection: &ConnectionFile) -> Result<Self, BindError> {
        Ok(Self {
            shell: bind("shell", connection.endpoint(connection.shell_port)).await?,
            control: bind("control", connection.endpoint(connection.control_port)).await?,
            stdin: bind("stdin", connection.endpoint(connection.stdin_port)).await?,
            iopub: bind("iopub", connection.endpoint(connection.iopub_port)).await?,
            heartbeat: bind("heartbeat", connection.endpoint(connection.hb_port)).await?,
        })
    }
}

/// The sending side of a ROUTER channel; clones share the socket.
#[derive(Clone)]
pub struct Sender {
    name: &'static str,
    codec: Arc<Codec>,
    half: RouterSendHalf,
}

impl Sender {
    /// Sends, or logs why not: a client that went away must not end the kernel.
    pub async fn send(&self, message: Message) {
        let msg_type = &message.header.msg_type;
        let Ok(frames) = ZmqMessage::try_from(self.codec.encode(&message)) else {
            return;
        };
        match tokio::time::timeout(SEND_TIMEOUT, self.half.clone().send(frames)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(channel = self.name, "{msg_type} was not sent: {error}")
            }
            Err(_) => tracing::warn!(
                channel = self.name,
                "{msg_type} was not sent: the client does not read"
            ),
        }
    }
}

/// Splits a ROUTER socket into its sender and a queue of the valid messages received.
pub fn open(
    name: &'static str,
    socket: RouterSocket,
    codec: &Arc<Codec>,
) -> (Sender, mpsc::UnboundedReceiver<Message>) {
    let (half, receive) = socket.split();
    let (queue, messages) = mpsc::unbounded_channel();
    tokio::spawn(receive_all(name, receive, codec.clone(), queue));
    (
        Sender {
            name,
            codec: codec.clone(),
            half,
        },
        messages,
    )
}

/// Echoes every heartbeat.
pub async fn heartbeat(mut socket: RepSocket) {
    loop {
        match socket.recv().await {
            Ok(ping) => {
                if let Err(error) = socket.send(ping).await {
                    tracing::debug!("A heartbeat was not answered: {error}");
                }
            }
            Err(error) => {
                tracing::debug!("A heartbeat was not readable: {error}");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn receive_all(
    name: &'static str,
    mut socket: RouterRecvHalf,
    codec: Arc<Codec>,
    queue: mpsc::UnboundedSender<Message>,
) {
    loop {
        match socket.recv().await {
            Ok(frames) => match codec.decode(frames.into_vec()) {
                Ok(message) => {
                    tracing::debug!(
                        channel = name,
                        msg_type = message.header.msg_type,
                        "Received"
                    );
                    if queue.send(message).is_err() {
                        return;
                    }
                }
                Err(error) => tracing::warn!(channel = name, "A message was dropped: {error}"),
            },
            Err(error) => {
                tracing::warn!(channel = name, "A message was not readable: {error}");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn bind<S: Socket>(name: &'static str, endpoint: String) -> Result<S, BindError> {
    let mut socket = S::new();
    match socket.bind(&endpoint).await {
        Ok(_) => Ok(socket),
        Err(source) => Err(BindError {
            socket: name,
            endpoint,
            source,
        }),
    }
}
