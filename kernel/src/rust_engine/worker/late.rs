//! Outputs of threads and tasks that outlive their cell: they come at once, and belong to the cell that started them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use carrel_protocol::{Output as Sent, Panic};
use tokio::sync::mpsc;

use super::contents::Contents;
use super::outputs::{OpenComms, output, shown};
use crate::engine::{Late, Output, Parent, StreamName};
use crate::rust_engine::notebook::failure;
use crate::rust_engine::notebook::session::Session;

/// Of so many cells it is known whose outputs theirs are; what threads of older ones print belongs to the oldest.
const MOST_PARENTS: usize = 1000;
/// Outputs that wait for the publisher before threads wait too.
const OUTPUTS: usize = 16;

/// The way of such outputs to the kernel; clones share it.
#[derive(Debug, Clone, Default)]
pub struct LateOutputs {
    shared: Arc<Mutex<Shared>>,
    pub comms: OpenComms,
    /// It knows the sources of cells, and may be busy with the next one.
    session: Weak<tokio::sync::Mutex<Session>>,
}

#[derive(Debug, Default)]
struct Shared {
    parents: VecDeque<(u64, Parent)>,
    /// Before somebody asks for them, outputs are dropped.
    to: Option<mpsc::Sender<Late>>,
}

impl LateOutputs {
    pub fn of(session: Weak<tokio::sync::Mutex<Session>>) -> Self {
        Self {
            session,
            ..Self::default()
        }
    }

    pub fn open(&self) -> mpsc::Receiver<Late> {
        let (sender, receiver) = mpsc::channel(OUTPUTS);
        self.shared().to = Some(sender);
        receiver
    }

    /// A cell begins. Without a parent of its own it is a part of the one before.
    pub fn begin(&self, cell: u64, parent: Parent) {
        if parent.is_null() {
            return;
        }
        let parents = &mut self.shared().parents;
        parents.push_back((cell, parent));
        if parents.len() > MOST_PARENTS {
            parents.pop_front();
        }
    }

    pub async fn print(&self, cell: u64, name: StreamName, text: String) {
        if name == StreamName::Stderr {
            return self.send(cell, Output::Stream { name, text }).await;
        }
        // What comes in one piece only; between cells nobody waits for the rest.
        let mut contents = Contents::default();
        for piece in contents.add(&text) {
            self.send(cell, shown(piece)).await;
        }
        let text = contents.give_up();
        if !text.is_empty() {
            self.send(cell, Output::Stream { name, text }).await;
        }
    }

    pub async fn output(&self, cell: u64, sent: Sent) {
        match sent {
            Sent::ThreadPanic(panic) => self.panic_between_cells(cell, panic),
            sent => {
                if let Sent::Comm(message) = &sent {
                    self.comms.note(message);
                }
                if let Some(output) = output(sent) {
                    self.send(cell, output).await;
                }
            }
        }
    }

    fn panic_between_cells(&self, cell: u64, panic: Panic) {
        let Some(session) = self.session.upgrade() else {
            return;
        };
        let late = self.clone();
        // Apart, for the session may wait for what the worker says next.
        tokio::spawn(async move {
            let text = failure::thread_panic(&panic, session.lock().await.sources());
            late.print(cell, StreamName::Stderr, text).await;
        });
    }

    async fn send(&self, cell: u64, output: Output) {
        let (to, parent) = {
            let shared = self.shared();
            let parents = &shared.parents;
            let known = parents.iter().rev().find(|(known, _)| *known <= cell);
            let parent = known.or(parents.front()).map(|(_, parent)| parent.clone());
            (shared.to.clone(), parent.unwrap_or_default())
        };
        if let Some(to) = to {
            // An error means that the kernel ends.
            let _ = to.send(Late { parent, output }).await;
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
