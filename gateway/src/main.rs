//! `carrel-gateway`: one entry for browsers, whose routes Services and HTTPRoutes of the cluster name.

use carrel_gateway::options::Options;
use carrel_gateway::run;
use clap::Parser;

/// One entry for browsers, whose routes Services and HTTPRoutes of the cluster name.
#[derive(Parser)]
#[command(version, about)]
struct Program {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let program = Program::parse();
    carrel_service::start_log();
    tokio::runtime::Runtime::new()?.block_on(run::run(program.options))
}
