//! Messages of comms, from frontends to cells and back.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Shell};
use crate::engine::{Cell, CommKind, CommMessage, Outcome, Parent};
use crate::replies::failure_content;
use crate::wire::content::CommContent;
use crate::wire::message::Message;

impl Shell {
    /// Hands a frontend's message to the cells; what their callbacks print and show belongs to it.
    pub async fn comm(&self, message: &Message, kind: CommKind, content: CommContent) -> Answer {
        let comm_id = content.comm_id;
        if !self.comms().note(&comm_id, &kind) {
            tracing::info!(comm_id, "A message to a comm that is not open was dropped");
            return Answer::NONE;
        }
        let comm = CommMessage {
            comm_id,
            kind,
            data: content.data,
            metadata: message.metadata.clone(),
            buffers: message
                .buffers
                .iter()
                .map(|buffer| buffer.to_vec())
                .collect(),
        };
        let callbacks = Cell {
            number: self.execution_count.load(Ordering::Relaxed),
            code: String::new(),
            allow_stdin: false,
            parent: Parent::new(message.as_parent()),
        };
        let parent = callbacks.parent.clone();
        let (outcome, _) = self
            .publish_outputs(message, &parent, &callbacks, false, |outputs| {
                self.kernel.engine.comm(&comm, parent.clone(), outputs)
            })
            .await;
        if let Outcome::Failed(failure) = outcome {
            self.kernel
                .iopub
                .publish("error", &parent, failure_content(&failure))
                .await;
        }
        Answer::NONE
    }

    /// A message from the cells to the frontends.
    pub(super) async fn publish_comm(&self, parent: &Value, comm: CommMessage) {
        self.comms().note(&comm.comm_id, &comm.kind);
        let mut content = json!({ "comm_id": comm.comm_id, "data": comm.data });
        let msg_type = match comm.kind {
            CommKind::Open { target_name } => {
                content["target_name"] = json!(target_name);
                "comm_open"
            }
            CommKind::Message => "comm_msg",
            CommKind::Close => "comm_close",
        };
        let mut message = self
            .kernel
            .session
            .message(msg_type, parent.clone(), content);
        message.metadata = comm.metadata;
        message.buffers = comm.buffers.into_iter().map(Bytes::from).collect();
        self.kernel.iopub.send(message).await;
    }
}
