//! `carrel-model-server`: serves networks by the protocols of TensorFlow Serving and KServe.

use std::io::{self, IsTerminal as _, Write as _};

use carrel_model_server::fetch::{Fetch, fetch};
use carrel_model_server::options::Options;
use carrel_model_server::{process, run};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(
    version,
    about,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Brings the files of a version from their addresses, and checks their digests
    Fetch(Fetch),
}

fn main() -> ! {
    process::begin();
    let status = match run() {
        Ok(()) => 0,
        Err(error) => {
            // Nobody may read it.
            let _ = writeln!(io::stderr(), "Error: {error:?}");
            1
        }
    };
    process::end(status)
}

fn run() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // `RUST_LOG`; what matters of everything, unless it is set.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Runtime::new()?;
    let done = match arguments.command {
        Some(Command::Fetch(arguments)) => runtime.block_on(fetch(&arguments)),
        None => runtime.block_on(run::run(arguments.options)),
    };
    // A load, which cannot be stopped, keeps it no longer.
    runtime.shutdown_background();
    done
}
