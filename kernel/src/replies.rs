//! Contents of replies to what cannot be done.

use serde_json::{Value, json};

use crate::engine::Failure;

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

/// Content of an `error` message.
pub fn failure_content(failure: &Failure) -> Value {
    json!({ "ename": failure.ename, "evalue": failure.evalue, "traceback": failure.traceback })
}
