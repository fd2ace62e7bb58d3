//! `carrel-jobs-service`: runs the training jobs of notebooks on a Kubernetes cluster, as a service of the Hub.

use carrel_jobs_service::options::Options;
use carrel_jobs_service::run;
use clap::Parser;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    carrel_service::start_log();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run::run(arguments.options))
}
