//! The shell channel: one request after the other, busy and idle around each.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::comms::Comms;
use crate::complete::{complete, inspect};
use crate::control::{invalid, shutdown, unsupported};
use crate::history::History;
use crate::info::kernel_info;
use crate::is_complete::is_complete;
use crate::kernel::{Kernel, reply};
use crate::sockets::{Incoming, Sender};
use crate::wire::content::{CompleteRequest, Request};
use crate::wire::message::Message;

/// State of the shell channel.
pub struct Shell {
    pub kernel: Kernel,
    pub history: History,
    pub comms: Comms,
    /// Number of the last cell stored in the history; the first cell is 1.
    pub execution_count: u32,
    sender: Sender,
}

impl Shell {
    pub fn new(kernel: Kernel, sender: Sender, history: History) -> Self {
        Self {
            kernel,
            history,
            comms: Comms::default(),
            execution_count: 0,
            sender,
        }
    }

    /// Answers every message on shell until the kernel stops.
    pub async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Incoming>) {
        let mut queued = VecDeque::new();
        loop {
            let next = match queued.pop_front() {
                Some(message) => Some((message, true)),
                None => messages.recv().await.map(|message| (message, false)),
            };
            let Some((message, abort)) = next else { return };
            let failed = self.handle(&message, abort).await;
            if failed {
                // What was sent before the failure was known is aborted ("Execution", stop_on_error).
                while let Ok(message) = messages.try_recv() {
                    queued.push_back(message);
                }
            }
        }
    }

    /// Handles one message; true means that the requests queued behind it are to be aborted.
    async fn handle(&mut self, message: &Message, abort: bool) -> bool {
        let parent = message.as_parent();
        self.kernel.iopub.status(&parent, "busy").await;
        let (content, failed) = match Request::parse(&message.header.msg_type, &message.content) {
            Ok(request) => self.answer(message, request, abort).await,
            Err(error) => (Some(invalid(&error)), false),
        };
        if let Some(content) = content {
            reply(&self.kernel, &self.sender, message, content).await;
        }
        self.kernel.iopub.status(&parent, "idle").await;
        failed
    }

    /// The reply's content, if the request has a reply, and whether to abort what is queued.
    async fn answer(
        &mut self,
        message: &Message,
        request: Request,
        abort: bool,
    ) -> (Option<Value>, bool) {
        let content = match request {
            Request::Execute(_) if abort => Some(json!({ "status": "aborted" })),
            Request::Execute(request) => {
                let (content, failed) = self.execute(message, &request).await;
                return (Some(content), failed);
            }
            Request::KernelInfo => Some(kernel_info()),
            Request::Complete(request) => Some(self.complete(&request)),
            Request::Inspect => Some(inspect()),
            Request::IsComplete(request) => Some(is_complete(request.code).await),
            Request::History(request) => Some(self.history.answer(&request)),
            Request::CommInfo(request) => Some(self.comms.info(request.target_name.as_deref())),
            Request::CommOpen(request) => {
                self.comms
                    .refuse(&self.kernel.iopub, &message.as_parent(), &request)
                    .await;
                None
            }
            Request::CommMessage(comm) => {
                tracing::info!(
                    comm_id = comm.comm_id,
                    "A comm_msg was dropped: no cell listens to this comm"
                );
                None
            }
            Request::CommClose(comm) => {
                self.comms.close(&comm.comm_id);
                None
            }
            Request::Interrupt => {
                self.kernel.interrupt();
                Some(json!({ "status": "ok" }))
            }
            Request::Shutdown(request) => {
                shutdown(&self.kernel, &self.sender, message, &request).await;
                None
            }
            Request::Debug | Request::Unknown => Some(unsupported(&message.header.msg_type)),
        };
        (content, false)
    }

    fn complete(&self, request: &CompleteRequest) -> Value {
        complete(
            &request.code,
            request.cursor_pos,
            self.history.inputs_of_this_session(),
        )
    }
}
