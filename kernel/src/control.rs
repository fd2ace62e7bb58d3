//! The control channel: answered while a cell runs.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::info::kernel_info;
use crate::kernel::{Kernel, reply};
use crate::lanes::Subshells;
use crate::sockets::{Incoming, Sender};
use crate::wire::content::{Request, ShutdownRequest};
use crate::wire::message::Message;

/// Answers every message on control until the kernel stops.
pub async fn run(
    kernel: Kernel,
    subshells: Subshells,
    sender: Sender,
    mut messages: mpsc::UnboundedReceiver<Incoming>,
) {
    while let Some(message) = messages.recv().await {
        let parent = message.as_parent();
        kernel.iopub.status(&parent, "busy").await;
        let content = match Request::parse(&message.header.msg_type, &message.content) {
            Ok(Request::KernelInfo) => kernel_info(),
            Ok(Request::Interrupt) => {
                kernel.interrupt();
                json!({ "status": "ok" })
            }
            Ok(Request::Shutdown(request)) => {
                return shutdown(&kernel, &sender, &message, &request).await;
            }
            Ok(Request::CreateSubshell) => subshells.create(),
            Ok(Request::DeleteSubshell(request)) => subshells.delete(&request.subshell_id),
            Ok(Request::ListSubshell) => subshells.list(),
            Ok(_) => unsupported(&message.header.msg_type),
            Err(error) => invalid(&error),
        };
        reply(&kernel, &sender, &message, content).await;
        kernel.iopub.status(&parent, "idle").await;
    }
}

/// Ends the worker, answers, and lets the kernel end.
pub async fn shutdown(
    kernel: &Kernel,
    sender: &Sender,
    message: &Message,
    request: &ShutdownRequest,
) {
    tracing::info!(restart = request.restart, "Shutting down");
    kernel.end_engine().await;
    let content = json!({ "status": "ok", "restart": request.restart });
    let parent = message.as_parent();
    // Other clients learn of the shutdown from iopub.
    kernel
        .iopub
        .publish("shutdown_reply", &parent, content.clone())
        .await;
    reply(kernel, sender, message, content).await;
    kernel.iopub.status(&parent, "idle").await;
    kernel.stop();
}

/// Reply to a request that this kernel does not implement.
pub fn unsupported(msg_type: &str) -> Value {
    tracing::info!(
        msg_type,
        "A request of a type that this kernel does not support was refused"
    );
    error_reply(
        "UnsupportedRequest",
        &format!("this kernel does not support {msg_type} on this channel"),
    )
}

/// Reply to a request whose content does not fit its type.
pub fn invalid(error: &serde_json::Error) -> Value {
    error_reply(
        "InvalidRequest",
        &format!("the request's content is not valid: {error}"),
    )
}

/// Reply to a request that failed.
pub fn error_reply(ename: &str, evalue: &str) -> Value {
    json!({ "status": "error", "ename": ename, "evalue": evalue, "traceback": [] })
}
