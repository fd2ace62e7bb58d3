//! The iopub publisher: one task owns the XPUB socket, welcomes subscribers and joins small stream texts.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use zeromq::util::PeerIdentity;
use zeromq::{Socket, SocketEvent, SocketRecv, SocketSend, XPubSocket, ZmqMessage};

use crate::engine::StreamName;
use crate::wire::frames::Codec;
use crate::wire::message::{Message, Session};

/// Texts that arrive within this time become one `stream` message.
const JOIN_FOR: Duration = Duration::from_millis(15);
/// Joined text is sent at once from this size on, in bytes.
const JOIN_BYTES: usize = 64 * 1024;
/// Messages that wait for the socket before senders wait too.
const QUEUE: usize = 1024;
/// How long one subscriber that stopped reading may hold all others up.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// A handle to the publisher; clones share it.
#[derive(Clone)]
pub struct IoPub {
    session: Arc<Session>,
    queue: mpsc::Sender<Item>,
}

enum Item {
    Message(Box<Message>),
    Stream {
        parent: Value,
        name: StreamName,
        text: String,
    },
    Flush(oneshot::Sender<()>),
}

impl IoPub {
    /// Starts the publisher.
    pub fn start(mut socket: XPubSocket, session: Arc<Session>, codec: Arc<Codec>) -> Self {
        let (queue, items) = mpsc::channel(QUEUE);
        let events = socket.monitor();
        let publisher = Publisher {
            socket,
            session: session.clone(),
            codec,
            pending: None,
            peers: HashSet::new(),
        };
        tokio::spawn(publisher.run(items, events));
        Self { session, queue }
    }

    pub async fn publish(&self, msg_type: &str, parent: &Value, content: Value) {
        self.send(self.session.message(msg_type, parent.clone(), content))
            .await;
    }

    /// Publishes a message that was built by [`Session::message`], with metadata or buffers set.
    pub async fn send(&self, message: Message) {
        self.put(Item::Message(Box::new(message))).await;
    }

    pub async fn stream(&self, parent: &Value, name: StreamName, text: String) {
        self.put(Item::Stream {
            parent: parent.clone(),
            name,
            text,
        })
        .await;
    }

    /// Publishes the kernel's execution state: `starting`, `busy` or `idle`.
    pub async fn status(&self, parent: &Value, state: &str) {
        self.publish("status", parent, json!({ "execution_state": state }))
            .await;
    }

    /// Returns when everything published before was written to the sockets.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        self.put(Item::Flush(done)).await;
        // An error means that the publisher ended, and then nothing is left to wait for.
        let _ = written.await;
    }

    async fn put(&self, item: Item) {
        if self.queue.send(item).await.is_err() {
            tracing::debug!("iopub is closed; a message was dropped");
        }
    }
}

struct Publisher {
    socket: XPubSocket,
    session: Arc<Session>,
    codec: Arc<Codec>,
    pending: Option<Pending>,
    peers: HashSet<PeerIdentity>,
}

/// Stream text that waits for more of its kind.
struct Pending {
    parent: Value,
    name: StreamName,
    text: String,
    due: Instant,
}

impl Publisher {
    async fn run(
        mut self,
        mut items: mpsc::Receiver<Item>,
        mut events: impl futures_util::Stream<Item = SocketEvent> + Unpin,
    ) {
        loop {
            let due = self.pending.as_ref().map(|pending| pending.due);
            tokio::select! {
                item = items.recv() => match item {
                    Some(item) => self.handle(item).await,
                    None => return self.write_pending().await,
                },
                Some(event) = events.next() => self.note_peer(event),
                received = self.socket.recv() => match received {
                    Ok(frames) => self.welcome(&frames).await,
                    Err(error) => tracing::debug!("An iopub subscriber left: {error}"),
                },
                () = sleep_until(due) => self.write_pending().await,
            }
        }
    }

    async fn handle(&mut self, item: Item) {
        match item {
            Item::Stream { parent, name, text } => self.join(parent, name, text).await,
            Item::Message(message) => {
                self.write_pending().await;
                self.write(*message).await;
            }
            Item::Flush(done) => {
                self.write_pending().await;
                // The asker may have given up waiting.
                let _ = done.send(());
            }
        }
    }

    async fn join(&mut self, parent: Value, name: StreamName, text: String) {
        match &mut self.pending {
            Some(pending) if pending.name == name && pending.parent == parent => {
                pending.text.push_str(&text)
            }
            _ => {
                self.write_pending().await;
                self.pending = Some(Pending {
                    parent,
                    name,
                    text,
                    due: Instant::now() + JOIN_FOR,
                });
            }
        }
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| pending.text.len() >= JOIN_BYTES)
        {
            self.write_pending().await;
        }
    }

    async fn write_pending(&mut self) {
        let Some(Pending {
            parent, name, text, ..
        }) = self.pending.take()
        else {
            return;
        };
        let name = match name {
            StreamName::Stdout => "stdout",
            StreamName::Stderr => "stderr",
        };
        let message = self
            .session
            .message("stream", parent, json!({ "name": name, "text": text }));
        self.write(message).await;
    }

    /// A new subscription is answered on its own topic (JEP 65).
    async fn welcome(&mut self, frames: &ZmqMessage) {
        let Some((1, topic)) = frames.get(0).and_then(|frame| frame.split_first()) else {
            return;
        };
        let content = json!({ "subscription": String::from_utf8_lossy(topic) });
        let mut message = self.session.message("iopub_welcome", json!({}), content);
        message.identities = vec![Bytes::copy_from_slice(topic)];
        self.try_write(&message).await;
    }

    async fn write(&mut self, mut message: Message) {
        let topic = format!("kernel.{}.{}", self.session.id, message.header.msg_type);
        message.identities = vec![topic.into()];
        if !self.try_write(&message).await {
            self.close_connections();
        }
    }

    /// False when a subscriber that does not read blocks the socket.
    async fn try_write(&mut self, message: &Message) -> bool {
        let Ok(frames) = ZmqMessage::try_from(self.codec.encode(message)) else {
            return true;
        };
        match tokio::time::timeout(STALL_LIMIT, self.socket.send(frames)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!("{} was not published: {error}", message.header.msg_type);
                true
            }
            Err(_) => false,
        }
    }

    /// zeromq 0.7 writes to its XPUB subscribers one after the other and does not tell which one blocks, so
    /// all connections are closed: those that live reconnect and subscribe again by themselves.
    /// What is sent until then they miss.
    fn close_connections(&mut self) {
        tracing::warn!(
            "A subscriber of iopub does not read; all iopub connections are closed to go on"
        );
        let backend = self.socket.backend();
        for peer in self.peers.drain() {
            backend.peer_disconnected(&peer);
        }
    }

    fn note_peer(&mut self, event: SocketEvent) {
        match event {
            SocketEvent::Accepted(_, peer) => {
                self.peers.insert(peer);
            }
            SocketEvent::Disconnected(peer) => {
                self.peers.remove(&peer);
            }
            _ => {}
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
