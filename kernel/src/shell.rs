//! The shell channel's requests: one `match`, and the state that its lanes share.

mod comm;
mod execute;
mod outputs;

use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::comms::Comms;
use crate::complete::{complete, inspect};
use crate::engine::CommKind;
use crate::history::History;
use crate::info::kernel_info;
use crate::is_complete::is_complete;
use crate::kernel::Kernel;
use crate::replies::unsupported;
use crate::sockets::Sender;
use crate::wire::content::{CompleteRequest, Request};
use crate::wire::message::Message;

/// What the main shell and subshells share.
pub struct Shell {
    pub kernel: Kernel,
    pub sender: Sender,
    pub history: History,
    /// Number of the last cell stored in the history; the first cell is 1.
    pub execution_count: AtomicU32,
    /// Held while a cell runs.
    pub turn: tokio::sync::Mutex<()>,
    comms: Mutex<Comms>,
}

/// What a request leads to.
pub struct Answer {
    /// Content of the reply, if the request has one.
    pub content: Option<Value>,
    /// Whether requests that were sent behind it are to be aborted.
    pub failed: bool,
}

impl Shell {
    pub fn new(kernel: Kernel, sender: Sender, history: History) -> Self {
        Self {
            kernel,
            sender,
            history,
            execution_count: AtomicU32::new(0),
            turn: tokio::sync::Mutex::default(),
            comms: Mutex::default(),
        }
    }

    /// Does what a request asks for.
    pub async fn answer(&self, message: &Message, request: Request) -> Answer {
        match request {
            Request::Execute(request) => return self.execute(message, &request).await,
            Request::KernelInfo => kernel_info(&*self.kernel.engine).await.into(),
            Request::Connect => self.kernel.ports.clone().into(),
            Request::Complete(request) => self.complete(&request).await.into(),
            Request::Inspect(request) => inspect(&*self.kernel.engine, &request).await.into(),
            Request::IsComplete(request) => is_complete(request.code).await.into(),
            Request::History(request) => self.history.answer(request).await.into(),
            Request::CommInfo(request) => self.comms().info(request.target_name.as_deref()).into(),
            Request::CommOpen(comm) => {
                let target_name = comm.target_name.clone();
                self.comm(message, CommKind::Open { target_name }, comm)
                    .await
            }
            Request::CommMessage(comm) => self.comm(message, CommKind::Message, comm).await,
            Request::CommClose(comm) => self.comm(message, CommKind::Close, comm).await,
            Request::Interrupt => {
                self.kernel.interrupt();
                json!({ "status": "ok" }).into()
            }
            Request::Shutdown(request) => {
                self.kernel.shutdown(&self.sender, message, &request).await;
                Answer::NONE
            }
            Request::CreateSubshell
            | Request::DeleteSubshell(_)
            | Request::ListSubshell
            | Request::Debug
            | Request::Unknown => unsupported(&message.header.msg_type).into(),
        }
    }

    pub fn comms(&self) -> MutexGuard<'_, Comms> {
        self.comms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn complete(&self, request: &CompleteRequest) -> Value {
        complete(&*self.kernel.engine, request, self.history.recent_inputs()).await
    }
}

impl Answer {
    pub const NONE: Self = Self {
        content: None,
        failed: false,
    };
}

impl From<Value> for Answer {
    fn from(content: Value) -> Self {
        Self {
            content: Some(content),
            failed: false,
        }
    }
}
