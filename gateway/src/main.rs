//! `carrel-gateway`: one entry for browsers, whose routes Services and HTTPRoutes of the cluster name.

use std::io::IsTerminal as _;

use carrel_gateway::options::Options;
use carrel_gateway::run;
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// One entry for browsers, whose routes Services and HTTPRoutes of the cluster name.
#[derive(Parser)]
#[command(version, about)]
struct Program {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let program = Program::parse();
    // `RUST_LOG`; what matters of everything, unless it is set.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    tokio::runtime::Runtime::new()?.block_on(run::run(program.options))
}
