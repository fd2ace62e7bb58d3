//! `is_complete_request`: whether code can run, needs more lines, or is wrong.

use carrel_cell::parse::statements;
use proc_macro2::TokenStream;
use serde_json::{Value, json};

use crate::rust_engine::notebook::commands::{is_shell, nothing};

mod scan;

use scan::{Scan, scan};

/// Longer code is not parsed: a person typing line by line never gets there.
const MAX_BYTES: usize = 32 * 1024;
/// syn recurses on nesting; with the limits above and below this stack is always enough.
const STACK: usize = 256 << 20;
const MAX_DEPTH: usize = 200;

/// Content of `is_complete_reply`.
pub async fn is_complete(code: String) -> Value {
    let (send, receive) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new()
        .name("is_complete".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            // The asker is gone only when the kernel ends.
            let _ = send.send(judge(&code));
        });
    match (spawned, receive.await) {
        (Ok(_), Ok(content)) => content,
        _ => json!({ "status": "unknown" }),
    }
}

fn judge(code: &str) -> Value {
    if code.len() > MAX_BYTES {
        return json!({ "status": "unknown" });
    }
    // `:dep`, `!ls` and the like are one line each and no Rust.
    if code.trim_start().starts_with(':') || is_shell(code.lines().next().unwrap_or(code), &nothing)
    {
        return json!({ "status": "complete" });
    }
    match scan(code) {
        Scan::Open { depth } => incomplete(depth),
        Scan::Mismatched => json!({ "status": "invalid" }),
        Scan::Balanced { deepest } if deepest > MAX_DEPTH => json!({ "status": "unknown" }),
        Scan::Balanced { .. } => parse(code),
    }
}

fn parse(code: &str) -> Value {
    let Ok(tokens) = code.parse::<TokenStream>() else {
        return json!({ "status": "invalid" });
    };
    match statements(tokens) {
        Ok(_) => json!({ "status": "complete" }),
        Err(error) if is_at_end(&error) => incomplete(0),
        Err(_) => json!({ "status": "invalid" }),
    }
}

/// An error at the end of all input, rather than of a bracket, has no position and so stands at the start.
fn is_at_end(error: &syn::Error) -> bool {
    let (start, text) = (error.span().start(), error.to_string());
    let wants_more =
        text.starts_with("unexpected end of input") || text.starts_with("expected `;`");
    wants_more && (start.line, start.column) == (1, 0)
}

fn incomplete(depth: usize) -> Value {
    json!({ "status": "incomplete", "indent": "    ".repeat(depth) })
}
