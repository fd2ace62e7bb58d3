//! The stdin channel: `input_request` to the frontend whose cell runs, `input_reply` back to the cell.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::sockets::{Incoming, Sender};
use crate::wire::message::{Message, Session};

/// Asks the person for lines; clones share the channel.
#[derive(Clone)]
pub struct Stdin {
    sender: Sender,
    session: Arc<Session>,
    /// The one question without an answer yet.
    waiting: Arc<Mutex<Option<Question>>>,
}

struct Question {
    msg_id: String,
    identities: Vec<Bytes>,
    reply: oneshot::Sender<String>,
}

impl Stdin {
    /// Starts listening for answers.
    pub fn start(
        sender: Sender,
        mut replies: mpsc::UnboundedReceiver<Incoming>,
        session: Arc<Session>,
    ) -> Self {
        let stdin = Self {
            sender,
            session,
            waiting: Arc::default(),
        };
        let listener = stdin.clone();
        tokio::spawn(async move {
            while let Some(message) = replies.recv().await {
                listener.answer(&message);
            }
        });
        stdin
    }

    /// Sends `input_request` to the client that sent `request`; its answer goes to `reply`.
    pub async fn ask(
        &self,
        request: &Message,
        prompt: &str,
        password: bool,
        reply: oneshot::Sender<String>,
    ) {
        let content = json!({ "prompt": prompt, "password": password });
        let mut message = self
            .session
            .message("input_request", request.as_parent(), content);
        message.identities = request.identities.clone();
        *self.lock() = Some(Question {
            msg_id: message.header.msg_id.clone(),
            identities: request.identities.clone(),
            reply,
        });
        self.sender.send(message).await;
    }

    /// Drops the open question: its cell ended or was interrupted.
    pub fn cancel(&self) {
        self.lock().take();
    }

    fn answer(&self, message: &Message) {
        if message.header.msg_type != "input_reply" {
            return tracing::warn!(
                "{} on the stdin channel was dropped",
                message.header.msg_type
            );
        }
        let mut waiting = self.lock();
        let Some(question) = waiting.take_if(|question| question.is_answered_by(message)) else {
            return tracing::warn!("An input_reply that answers no open question was dropped");
        };
        let value = message
            .content
            .get("value")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // The cell may have stopped waiting.
        let _ = question.reply.send(value.to_owned());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Question>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    /// jupyter_client sends its answers without a parent; a parent that is there must be this question.
    fn is_answered_by(&self, message: &Message) -> bool {
        let parent = message.parent_header.get("msg_id").and_then(Value::as_str);
        message.identities == self.identities && parent.is_none_or(|parent| parent == self.msg_id)
    }
}
