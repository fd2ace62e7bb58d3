//! The lanes of the shell channel: the main shell and its subshells (JEP 91), each a queue answered in order. What needs
//! no cell to end is answered beside the main shell while its cell runs, for frontends that know no subshells.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::replies::{error_reply, invalid};
use crate::shell::{Answer, Shell};
use crate::sockets::Incoming;
use crate::wire::content::Request;

/// A subshell costs next to nothing; more are a client's mistake.
const MOST_SUBSHELLS: usize = 1000;
/// What a frontend sends with one click has come so long after the first of it, for stop_on_error to find.
const ONE_CLICK: Duration = Duration::from_millis(50);

/// The subshells by their ids; clones share them.
#[derive(Clone)]
pub struct Subshells {
    shell: Arc<Shell>,
    queues: Arc<Mutex<BTreeMap<String, Queue>>>,
}

type Queue = mpsc::UnboundedSender<Queued>;

struct Queued {
    message: Incoming,
    /// Content of the reply, if the request is not to be looked at.
    refusal: Option<Value>,
}

/// The parent of what a lane's cell sends out, while one runs.
type Running = tokio::sync::Mutex<Option<Value>>;

impl Subshells {
    pub fn new(shell: Arc<Shell>) -> Self {
        Self {
            shell,
            queues: Arc::default(),
        }
    }

    /// Content of `create_subshell_reply`.
    pub fn create(&self) -> Value {
        let mut queues = self.queues();
        if queues.len() >= MOST_SUBSHELLS {
            let evalue = format!("{MOST_SUBSHELLS} subshells are open; delete some first");
            return error_reply("TooManySubshells", &evalue);
        }
        let id = Uuid::new_v4().to_string();
        queues.insert(id.clone(), open(self.shell.clone(), Arc::default()));
        json!({ "status": "ok", "subshell_id": id })
    }

    /// Content of `delete_subshell_reply`. What was sent to the subshell before is still answered.
    pub fn delete(&self, id: &str) -> Value {
        match self.queues().remove(id) {
            Some(_) => json!({ "status": "ok" }),
            None => unknown(id),
        }
    }

    /// Content of `list_subshell_reply`.
    pub fn list(&self) -> Value {
        let ids: Vec<String> = self.queues().keys().cloned().collect();
        json!({ "status": "ok", "subshell_id": ids })
    }

    /// Hands every message of the shell channel to its lane until the kernel stops.
    pub async fn dispatch(self, mut messages: mpsc::UnboundedReceiver<Incoming>) {
        let running = Arc::new(Running::default());
        let main = open(self.shell.clone(), running.clone());
        let beside = open_beside(self.shell.clone(), running.clone());
        while let Some(message) = messages.recv().await {
            let (lane, refusal) = match &message.header.subshell_id {
                None if is_analysis(&message.header.msg_type) => {
                    let (shell, running) = (self.shell.clone(), running.clone());
                    let refusal = None;
                    let alone = Queued { message, refusal };
                    tokio::spawn(async move { answer_beside(&shell, &running, &alone).await });
                    continue;
                }
                None if needs_no_turn(&message.header.msg_type) && is_there(&running) => {
                    (beside.clone(), None)
                }
                None => (main.clone(), None),
                Some(id) => match self.queues().get(id) {
                    Some(queue) => (queue.clone(), None),
                    None => (beside.clone(), Some(unknown(id))),
                },
            };
            // Lanes end with the kernel.
            let _ = lane.send(Queued { message, refusal });
        }
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests that may take a while, and for which nothing waits: neither a cell nor another of them, for frontends ask
/// again with each move of the cursor.
fn is_analysis(msg_type: &str) -> bool {
    matches!(msg_type, "complete_request" | "inspect_request")
}

/// Whether a request on the main shell may overtake a cell.
fn needs_no_turn(msg_type: &str) -> bool {
    matches!(
        msg_type,
        "kernel_info_request"
            | "connect_request"
            | "is_complete_request"
            | "comm_info_request"
            // Their place is on control since protocol 5.4.
            | "interrupt_request"
            | "shutdown_request"
    )
}

/// Who holds the lock is about to tell of a cell, so that one is there.
fn is_there(running: &Running) -> bool {
    running.try_lock().map_or(true, |running| running.is_some())
}

fn unknown(id: &str) -> Value {
    error_reply("UnknownSubshell", &format!("there is no subshell {id:?}"))
}

fn open(shell: Arc<Shell>, running: Arc<Running>) -> Queue {
    let (queue, mut messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        // What was sent before a failure was known.
        let mut earlier = VecDeque::new();
        loop {
            let next = match earlier.pop_front() {
                Some(next) => Some(next),
                None => messages.recv().await,
            };
            let Some(next) = next else { return };
            let begun = Instant::now();
            let answer = answer(&shell, &running, &next).await;
            if answer.failed {
                // Before the reply, for what is sent after it is sent in knowledge of the failure.
                tokio::time::sleep_until(begun + ONE_CLICK).await;
                while let Ok(next) = messages.try_recv() {
                    earlier.push_back(next);
                }
                abort(&mut earlier);
            }
            finish(&shell, &running, &next, answer).await;
        }
    });
    queue
}

/// A lane beside the main shell.
fn open_beside(shell: Arc<Shell>, main: Arc<Running>) -> Queue {
    let (queue, mut messages) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(next) = messages.recv().await {
            answer_beside(&shell, &main, &next).await;
        }
    });
    queue
}

/// Answers one request. Frontends show the state that was told last, so a cell that goes on is told again.
async fn answer_beside(shell: &Shell, main: &Running, next: &Queued) {
    let own = Running::default();
    let answer = answer(shell, &own, next).await;
    finish(shell, &own, next, answer).await;
    if let Some(cell) = &*main.lock().await {
        shell.kernel.iopub.status(cell, "busy").await;
    }
}

/// Says busy and does what is asked for.
async fn answer(shell: &Shell, running: &Running, next: &Queued) -> Answer {
    let parent = next.message.as_parent();
    let mut cell = running.lock().await;
    shell.kernel.iopub.status(&parent, "busy").await;
    if let Some(content) = &next.refusal {
        return content.clone().into();
    }
    // Under the lock, for a lane beside must not say idle after busy and find no cell.
    *cell = is_cell(next).then_some(parent);
    drop(cell);
    match Request::parse(&next.message.header.msg_type, &next.message.content) {
        Ok(request) => shell.answer(&next.message, request).await,
        Err(error) => invalid(&error).into(),
    }
}

/// Replies and says idle.
async fn finish(shell: &Shell, running: &Running, next: &Queued, answer: Answer) {
    if let Some(content) = answer.content {
        shell
            .kernel
            .reply(&shell.sender, &next.message, content)
            .await;
    }
    *running.lock().await = None;
    let parent = next.message.as_parent();
    shell.kernel.iopub.status(&parent, "idle").await;
}

fn abort(queued: &mut VecDeque<Queued>) {
    for cell in queued.iter_mut().filter(|next| is_cell(next)) {
        cell.refusal = Some(json!({ "status": "aborted" }));
    }
}

fn is_cell(next: &Queued) -> bool {
    next.message.header.msg_type == "execute_request"
}
