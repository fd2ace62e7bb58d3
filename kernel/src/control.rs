//! The control channel: answered while a cell runs.

use serde_json::json;
use tokio::sync::mpsc;

use crate::info::kernel_info;
use crate::kernel::Kernel;
use crate::lanes::Subshells;
use crate::replies::{invalid, unsupported};
use crate::sockets::{Incoming, Sender};
use crate::wire::content::Request;

/// Answers every message on control until the kernel stops.
pub async fn run(
    kernel: Kernel,
    subshells: Subshells,
    sender: Sender,
    mut messages: mpsc::UnboundedReceiver<Incoming>,
) {
    while let Some(message) = messages.recv().await {
        let parent = message.as_parent();
        let request = Request::parse(&message.header.msg_type, &message.content);
        // First, for the way to the frontends may be full of what the cell prints.
        if let Ok(Request::Interrupt) = request {
            kernel.interrupt();
        }
        kernel.iopub.status(&parent, "busy").await;
        let content = match request {
            Ok(Request::KernelInfo) => kernel_info(&*kernel.engine).await,
            Ok(Request::Interrupt) => json!({ "status": "ok" }),
            Ok(Request::Shutdown(request)) => {
                return kernel.shutdown(&sender, &message, &request).await;
            }
            Ok(Request::CreateSubshell) => subshells.create(),
            Ok(Request::DeleteSubshell(request)) => subshells.delete(&request.subshell_id),
            Ok(Request::ListSubshell) => subshells.list(),
            Ok(_) => unsupported(&message.header.msg_type),
            Err(error) => invalid(&error),
        };
        kernel.reply(&sender, &message, content).await;
        kernel.iopub.status(&parent, "idle").await;
    }
}
