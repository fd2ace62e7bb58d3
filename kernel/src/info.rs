//! What the kernel says about itself in `kernel_info_reply`.

use serde_json::{Value, json};

use crate::wire::message::PROTOCOL_VERSION;

/// The Rust release that cells are compiled with: the one that built this kernel.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// Content of `kernel_info_reply`; needs no compiler.
pub fn kernel_info() -> Value {
    json!({
        "status": "ok",
        "protocol_version": PROTOCOL_VERSION,
        "implementation": "carrel-kernel",
        "implementation_version": env!("CARGO_PKG_VERSION"),
        "language_info": {
            "name": "rust",
            "version": RUST_VERSION,
            "mimetype": "text/rust",
            "file_extension": ".rs",
            "pygments_lexer": "rust",
            "codemirror_mode": "rust",
        },
        "banner": format!("Carrel: Rust {RUST_VERSION} in Jupyter"),
        "debugger": false,
        "supported_features": ["kernel subshells"],
        "help_links": [
            { "text": "Rust standard library", "url": "https://doc.rust-lang.org/std/" },
            { "text": "The Rust book", "url": "https://doc.rust-lang.org/book/" },
        ],
    })
}
