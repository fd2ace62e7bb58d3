//! `carrel-dashboard`: pages on training jobs and on the cluster, for users of the Hub.

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
    carrel_service::start_log();
    tokio::runtime::Runtime::new()?.block_on(run::run(settings))
}
