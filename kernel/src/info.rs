//! What the kernel says about itself in `kernel_info_reply`.

use serde_json::{Value, json};

use crate::engine::Engine;
use crate::wire::message::PROTOCOL_VERSION;

/// The oldest Rust release that this kernel is built with; told where the compiler of cells is not there.
const OLDEST_RUST: &str = env!("CARGO_PKG_RUST_VERSION");

/// Content of `kernel_info_reply`; needs no compiler.
pub async fn kernel_info(engine: &dyn Engine) -> Value {
    let version = engine.language_version().await;
    let version = version.unwrap_or_else(|| OLDEST_RUST.to_owned());
    json!({
        "status": "ok",
        "protocol_version": PROTOCOL_VERSION,
        "implementation": "carrel-kernel",
        "implementation_version": env!("CARGO_PKG_VERSION"),
        "language_info": {
            "name": "rust",
            "version": version,
            "mimetype": "text/rust",
            "file_extension": ".rs",
            "pygments_lexer": "rust",
            "codemirror_mode": "rust",
        },
        "banner": format!("Carrel: Rust {version} in Jupyter"),
        "debugger": false,
        "supported_features": ["kernel subshells"],
        "help_links": [
            { "text": "Rust standard library", "url": "https://doc.rust-lang.org/std/" },
            { "text": "The Rust book", "url": "https://doc.rust-lang.org/book/" },
        ],
    })
}
