//! The log of a program: lines on stderr, in colours for who looks at a terminal.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins it with what `RUST_LOG` says; with what matters of everything, unless that is set.
pub fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
