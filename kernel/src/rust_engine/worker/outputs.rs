//! What the worker sends, as the outputs of a cell.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use carrel_protocol::{Output as Sent, is_json};
use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};

use super::contents::Piece;
use crate::engine::{CommKind, CommMessage, MimeBundle, Output, StreamName};

pub type Outputs = mpsc::Sender<Output>;

/// An open question, and where its answer comes from.
pub type Asked = (u64, oneshot::Receiver<String>);

/// Ids of the comms between the worker and frontends; clones share them.
#[derive(Debug, Clone, Default)]
pub struct OpenComms(Arc<Mutex<BTreeSet<String>>>);

impl OpenComms {
    /// Takes note of a message, from either end.
    pub fn note(&self, message: &CommMessage) {
        match message.kind {
            CommKind::Open { .. } => _ = self.ids().insert(message.comm_id.clone()),
            CommKind::Message => {}
            CommKind::Close => _ = self.ids().remove(&message.comm_id),
        }
    }

    fn ids(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all: the other end is gone.
    pub async fn close_all(&self, outputs: &Outputs) {
        let ids = std::mem::take(&mut *self.ids());
        for comm_id in ids {
            let message = CommMessage {
                comm_id,
                kind: CommKind::Close,
                data: json!({}),
                metadata: json!({}),
                buffers: Vec::new(),
            };
            let _ = outputs.send(Output::Comm(message)).await;
        }
    }
}

pub async fn print(outputs: &Outputs, name: StreamName, text: String) {
    // Nobody listens to the warm-up.
    let _ = outputs.send(Output::Stream { name, text }).await;
}

/// A piece of what was printed.
pub async fn show(outputs: &Outputs, piece: Piece) {
    let _ = outputs.send(shown(piece)).await;
}

pub fn shown(piece: Piece) -> Output {
    let (mime, data) = match piece {
        Piece::Text(text) => {
            let name = StreamName::Stdout;
            return Output::Stream { name, text };
        }
        Piece::Content { mime, data } => (mime, data),
    };
    let json = is_json(&mime).then(|| serde_json::from_str(&data));
    let value = match json {
        Some(Ok(value)) => value,
        _ => Value::String(data),
    };
    Output::Display {
        bundle: MimeBundle {
            data: Map::from_iter([(mime, value)]),
            metadata: Map::new(),
        },
        display_id: None,
        update: false,
    }
}

/// None for a panic, which is told with the source of its cell.
pub fn output(sent: Sent) -> Option<Output> {
    Some(match sent {
        Sent::Display {
            bundle,
            display_id,
            update,
        } => Output::Display {
            bundle,
            display_id,
            update,
        },
        Sent::Result(bundle) => Output::Result { bundle },
        Sent::ClearOutput { wait } => Output::ClearOutput { wait },
        Sent::Comm(message) => Output::Comm(message),
        Sent::ThreadPanic(_) => return None,
    })
}

pub async fn ask(outputs: &Outputs, question: u64, prompt: String, password: bool) -> Asked {
    let (reply, line) = oneshot::channel();
    let _ = outputs
        .send(Output::Input {
            prompt,
            password,
            reply,
        })
        .await;
    (question, line)
}

/// The answer to the open question, when it comes. None comes to a question that an interrupt took back: the cell
/// stops by that.
pub async fn answer(asked: &mut Option<Asked>) -> (u64, String) {
    if let Some((question, line)) = asked {
        let (question, line) = (*question, line.await);
        *asked = None;
        if let Ok(line) = line {
            return (question, line);
        }
    }
    std::future::pending().await
}
