//! The comms that are open between cells and frontends ("Custom Messages").

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use crate::engine::{Cell, CommKind, CommMessage, Outcome, Parent};
use crate::execute::failure_content;
use crate::shell::{Answer, Shell};
use crate::wire::content::CommContent;
use crate::wire::message::Message;

/// Open comms: id to target name.
#[derive(Default)]
pub struct Comms {
    open: BTreeMap<String, String>,
}

impl Comms {
    /// Takes note of a message, from either end; false if its comm is not open.
    pub fn note(&mut self, comm_id: &str, kind: &CommKind) -> bool {
        match kind {
            CommKind::Open { target_name } => {
                self.open.insert(comm_id.to_owned(), target_name.clone());
                true
            }
            CommKind::Message => self.open.contains_key(comm_id),
            CommKind::Close => self.open.remove(comm_id).is_some(),
        }
    }

    /// Content of `comm_info_reply`, of one target or of all.
    pub fn info(&self, target_name: Option<&str>) -> Value {
        let comms: Map<String, Value> = self
            .open
            .iter()
            .filter(|(_, target)| target_name.is_none_or(|name| name == target.as_str()))
            .map(|(id, target)| (id.clone(), json!({ "target_name": target })))
            .collect();
        json!({ "status": "ok", "comms": comms })
    }
}

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
}
