//! The iopub publisher: one task owns the XPUB socket, welcomes subscribers and joins small stream texts.

use std::sync::Arc;
use std::time::Duration;

use carrel_zmtp::{Subscription, XPub};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::engine::StreamName;
use crate::sockets::LINGER;
use crate::wire::frames::Codec;
use crate::wire::message::{Message, Session};

/// Texts that arrive within this time become one `stream` message.
const JOIN_FOR: Duration = Duration::from_millis(15);
/// Joined text is sent at once from this size on, in bytes.
const JOIN_BYTES: usize = 64 * 1024;
/// Messages that wait for the publisher before senders wait too.
const QUEUE: usize = 16;

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
    End(oneshot::Sender<()>),
    TakeLine(oneshot::Sender<String>),
}

impl IoPub {
    /// Starts the publisher.
    pub fn start(socket: XPub, session: Arc<Session>, codec: Arc<Codec>) -> Self {
        let (queue, items) = mpsc::channel(QUEUE);
        let publisher = Publisher {
            socket,
            session: session.clone(),
            codec,
            pending: None,
        };
        tokio::spawn(publisher.run(items));
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

    /// Returns when everything published before is on its way to the subscribers.
    pub async fn flush(&self) {
        let (done, sent) = oneshot::channel();
        self.put(Item::Flush(done)).await;
        // An error means that the publisher ended, and then nothing is left to wait for.
        let _ = sent.await;
    }

    /// Hands the last messages to the system and closes the socket.
    pub async fn end(&self) {
        let (done, ended) = oneshot::channel();
        self.put(Item::End(done)).await;
        let _ = ended.await;
    }

    /// The unfinished line at the end of what was printed to stdout and is not published yet: it will not be.
    pub async fn take_unfinished_line(&self) -> String {
        let (sender, line) = oneshot::channel();
        self.put(Item::TakeLine(sender)).await;
        line.await.unwrap_or_default()
    }

    async fn put(&self, item: Item) {
        if self.queue.send(item).await.is_err() {
            tracing::debug!("iopub is closed; a message was dropped");
        }
    }
}

struct Publisher {
    socket: XPub,
    session: Arc<Session>,
    codec: Arc<Codec>,
    pending: Option<Pending>,
}

/// Stream text that waits for more of its kind.
struct Pending {
    parent: Value,
    name: StreamName,
    text: String,
    due: Instant,
}

impl Pending {
    fn split_line(&mut self) -> Option<String> {
        let start = self.text.rfind('\n').map_or(0, |end| end + 1);
        (self.name == StreamName::Stdout).then(|| self.text.split_off(start))
    }
}

impl Publisher {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        loop {
            let due = self.pending.as_ref().map(|pending| pending.due);
            tokio::select! {
                item = items.recv() => match item {
                    Some(Item::Stream { parent, name, text }) => self.join(parent, name, text).await,
                    Some(Item::Message(message)) => {
                        self.write_pending().await;
                        self.write(*message).await;
                    }
                    // The asker may have given up waiting.
                    Some(Item::Flush(done)) => {
                        self.write_pending().await;
                        let _ = done.send(());
                    }
                    Some(Item::TakeLine(sender)) => {
                        let line = self.pending.as_mut().and_then(Pending::split_line);
                        let _ = sender.send(line.unwrap_or_default());
                    }
                    Some(Item::End(done)) => {
                        self.write_pending().await;
                        self.socket.flush(LINGER).await;
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                subscription = self.socket.next() => self.welcome(subscription).await,
                () = sleep_until(due) => self.write_pending().await,
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
        }) = self
            .pending
            .take()
            .filter(|pending| !pending.text.is_empty())
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
    async fn welcome(&mut self, subscription: Subscription) {
        let topic = subscription.topic.clone();
        let content = json!({ "subscription": String::from_utf8_lossy(&topic) });
        let mut message = self.session.message("iopub_welcome", json!({}), content);
        message.identities = vec![topic];
        let frames = self.codec.encode(&message);
        self.socket.welcome(subscription, &frames).await;
    }

    async fn write(&mut self, mut message: Message) {
        let topic = format!("kernel.{}.{}", self.session.id, message.header.msg_type);
        message.identities = vec![topic.into()];
        self.socket.send(&self.codec.encode(&message)).await;
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
