//! Comms: channels of the person's own between cells and frontends ("Custom Messages" of the protocol). Callbacks run
//! as small cells, between the others.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub use carrel_protocol::{CommKind, CommMessage};
use carrel_runtime::{in_order, unique_id};
use serde_json::{Value, json};

use crate::json::value;

/// One end of a comm; clones are the same comm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comm {
    id: String,
}

type Callback = Arc<Mutex<dyn FnMut(&CommMessage) + Send>>;
type Target = Arc<Mutex<dyn FnMut(Comm, &CommMessage) + Send>>;

/// What listens. Never locked while a callback runs, for that may open, close and listen itself.
#[derive(Default)]
struct Registry {
    targets: HashMap<String, Target>,
    /// Open comms.
    comms: HashMap<String, Option<Callback>>,
}

static REGISTRY: Mutex<Option<Registry>> = Mutex::new(None);

/// Whoever is at the other ends; the worker provides it.
pub trait Frontends: Send + Sync {
    /// Returns when the kernel has taken the message.
    fn send(&self, message: CommMessage);
}

static FRONTENDS: OnceLock<&'static dyn Frontends> = OnceLock::new();

/// The worker does so once, before the first cell.
pub fn connect(frontends: &'static dyn Frontends) {
    // A second one is ignored: messages have one way out.
    let _ = FRONTENDS.set(frontends);
}

impl Comm {
    /// Opens a comm to `target_name` of the frontends. `data` and `metadata` are JSON, as of `json!(..)`.
    #[track_caller]
    pub fn open(
        target_name: &str,
        data: impl Display + 'static,
        metadata: impl Display + 'static,
        buffers: Vec<Vec<u8>>,
    ) -> Self {
        let comm = Self { id: unique_id() };
        registry(|registry| registry.comms.insert(comm.id.clone(), None));
        let target_name = target_name.to_owned();
        let kind = CommKind::Open { target_name };
        comm.post(kind, value(data), value(metadata), buffers);
        comm
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends JSON, as of `json!(..)`, with binary buffers.
    #[track_caller]
    pub fn send(&self, data: impl Display + 'static, buffers: Vec<Vec<u8>>) {
        self.post(CommKind::Message, value(data), json!({}), buffers);
    }

    /// Calls `callback` with what frontends send, and with the [`CommKind::Close`] at the end. It replaces an earlier
    /// one. A comm that was closed calls nothing.
    pub fn on_message(&self, callback: impl FnMut(&CommMessage) + Send + 'static) {
        registry(|registry| {
            if let Some(present) = registry.comms.get_mut(&self.id) {
                *present = Some(Arc::new(Mutex::new(callback)));
            }
        });
    }

    /// Closes it on both ends; a second time does nothing.
    #[track_caller]
    pub fn close(&self) {
        if registry(|registry| registry.comms.remove(&self.id)).is_some() {
            self.post(CommKind::Close, json!({}), json!({}), Vec::new());
        }
    }

    #[track_caller]
    fn post(&self, kind: CommKind, data: Value, metadata: Value, buffers: Vec<Vec<u8>>) {
        let message = CommMessage {
            comm_id: self.id.clone(),
            kind,
            data,
            metadata,
            buffers,
        };
        in_order(|| {
            if let Some(frontends) = FRONTENDS.get() {
                frontends.send(message);
            }
        });
    }
}

/// Lets frontends open comms to `name`; `opened` gets each with its first message.
pub fn on_comm_open(
    name: impl Into<String>,
    opened: impl FnMut(Comm, &CommMessage) + Send + 'static,
) {
    let opened = Arc::new(Mutex::new(opened));
    registry(|registry| registry.targets.insert(name.into(), opened));
}

/// Calls whoever listens to what a frontend sent. Unknown targets are closed, as the protocol asks.
pub fn receive(message: &CommMessage) {
    let comm = Comm {
        id: message.comm_id.clone(),
    };
    match &message.kind {
        CommKind::Open { target_name } => {
            registry(|registry| registry.comms.insert(comm.id.clone(), None));
            match registry(|registry| registry.targets.get(target_name).cloned()) {
                Some(target) => lock(&target)(comm, message),
                None => comm.close(),
            }
        }
        CommKind::Message => call(
            registry(|registry| registry.comms.get(&comm.id).cloned()),
            message,
        ),
        CommKind::Close => call(
            registry(|registry| registry.comms.remove(&comm.id)),
            message,
        ),
    }
}

fn call(callback: Option<Option<Callback>>, message: &CommMessage) {
    if let Some(Some(callback)) = callback {
        lock(&callback)(message);
    }
}

fn registry<R>(act: impl FnOnce(&mut Registry) -> R) -> R {
    act(lock(&REGISTRY).get_or_insert_default())
}

/// A callback that panicked once is called again.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
