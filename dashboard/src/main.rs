//! `carrel-dashboard`: pages on training jobs and on the cluster, for users of the Hub.

use std::io::IsTerminal as _;

use carrel_dashboard::config::Arguments;
use carrel_dashboard::run;
use clap::Parser;

/// Pages on training jobs and on the cluster, for users of the Hub. JUPYTERHUB_API_TOKEN holds the token of this service.
#[derive(Parser)]
#[command(version, about)]
struct Program {
    #[command(flatten)]
    arguments: Arguments,
}

fn main() -> anyhow::Result<()> {
    let settings = Program::parse().arguments.settings()?;
    tracing_subscriber::fmt()
        .with_env_filter(filter())
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    tokio::runtime::Runtime::new()?.block_on(run::run(settings))
}

/// `RUST_LOG`; what matters of everything, unless it is set.
fn filter() -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into())
}
