//! `carrel-operator`: runs TFJobs and PyTorchJobs on a Kubernetes cluster, or prints their definitions.

use std::io::Write as _;

use carrel_jobs::kind::Kind;
use carrel_operator::crds;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the definitions of all kinds
    Crds,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crds => {
            let text = crds::yaml(&Kind::ALL)?;
            Ok(std::io::stdout().write_all(text.as_bytes())?)
        }
    }
}
