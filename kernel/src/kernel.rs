//! A running kernel: what the channels share.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::engine::Engine;
use crate::iopub::IoPub;
use crate::sockets::Sender;
use crate::stdin::Stdin;
use crate::wire::content::ShutdownRequest;
use crate::wire::message::{Message, Session};

/// How long the worker may take to end.
const ENGINE_SHUTDOWN: Duration = Duration::from_secs(3);

/// What shell and control share.
#[derive(Clone)]
pub struct Kernel {
    pub engine: Arc<dyn Engine>,
    pub session: Arc<Session>,
    pub iopub: IoPub,
    pub stdin: Stdin,
    /// Content of `connect_reply`.
    pub ports: Value,
    /// The kernel ends once this is notified.
    pub stop: Arc<Notify>,
}

impl Kernel {
    /// Stops the running cell, also when it waits for input.
    pub fn interrupt(&self) {
        self.stdin.cancel();
        self.engine.interrupt();
    }

    /// Ends the worker. The kernel itself goes on.
    pub async fn end_engine(&self) {
        self.stdin.cancel();
        if tokio::time::timeout(ENGINE_SHUTDOWN, self.engine.shutdown())
            .await
            .is_err()
        {
            tracing::error!(
                "The worker did not end within {} s",
                ENGINE_SHUTDOWN.as_secs()
            );
        }
    }

    /// Answers one request: a reply on the channel that it came from.
    pub async fn reply(&self, sender: &Sender, request: &Message, content: Value) {
        let msg_type = match request.header.msg_type.strip_suffix("_request") {
            Some(stem) => format!("{stem}_reply"),
            None => return,
        };
        let mut message = self
            .session
            .message(&msg_type, request.as_parent(), content);
        message.identities = request.identities.clone();
        sender.send(message).await;
    }

    /// Ends the worker, answers, and lets the kernel end.
    pub async fn shutdown(&self, sender: &Sender, message: &Message, request: &ShutdownRequest) {
        tracing::info!(restart = request.restart, "Shutting down");
        self.end_engine().await;
        let content = json!({ "status": "ok", "restart": request.restart });
        let parent = message.as_parent();
        // Other clients learn of the shutdown from iopub.
        self.iopub
            .publish("shutdown_reply", &parent, content.clone())
            .await;
        self.reply(sender, message, content).await;
        self.iopub.status(&parent, "idle").await;
        self.stop.notify_one();
    }
}
