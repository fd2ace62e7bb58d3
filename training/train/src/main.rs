//! `carrel-train`: one rank of a training job, on its own or started by an operator (RANK and WORLD_SIZE, or TF_CONFIG).

mod progress;
mod rank;
mod smoke;

use std::path::PathBuf;
use std::process::ExitCode;

use carrel_training::job::{JobFolder, ReportTo, Reporter, STOPPED, heed_cpu_limit, secret};
use carrel_training::parameter_servers::Updates;
use carrel_training::ranks::Environment;
use carrel_training::recipes::Mnist;
use carrel_training::trainer::{Ended, Watcher};
use clap::{Parser, Subcommand};

use progress::Progress;
use rank::{Part, in_full, last_word, run_job, train};

/// Many tensors of the same sizes are made and dropped in each step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains the MNIST network of pytorch-operator's dist-mnist example
    Mnist(MnistArguments),
    /// Computes a matrix product on every task of the job and compares them
    Smoke,
    /// Runs this rank's part of the job that is described in a folder
    Run { folder: PathBuf },
}

#[derive(clap::Args)]
struct MnistArguments {
    /// Folder with the four files of MNIST; else $CARREL_DATA, else the user's cache, filled from a mirror
    #[arg(long)]
    data: Option<PathBuf>,
    #[arg(long, default_value_t = 10)]
    epochs: usize,
    /// Pictures per step, of all ranks together
    #[arg(long, default_value_t = 128)]
    batch: usize,
    #[arg(long, default_value_t = 0.01)]
    learning_rate: f64,
    #[arg(long, default_value_t = 0.5)]
    dropout: f64,
    #[arg(long, default_value_t = 1234)]
    seed: u64,
    /// The first so many pictures only
    #[arg(long)]
    pictures: Option<usize>,
    /// Folder for checkpoints: the newest one there is where training begins
    #[arg(long)]
    checkpoints: Option<PathBuf>,
    /// With parameter servers: each rank's gradients count as they come, and ranks do not wait for one another
    #[arg(long)]
    asynchronous: bool,
}

fn main() -> ExitCode {
    heed_cpu_limit();
    match run(Arguments::parse().command) {
        Ok(Ended::Stopped) => ExitCode::from(STOPPED),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carrel-train: {}", in_full(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<Ended> {
    let environment = Environment::from_process()?;
    let reporter = ReportTo::from_process().map(|to| Reporter::start(to, &environment));
    let progress = Progress::from_process(&environment);
    let watchers = reporter.iter().map(Reporter::watcher);
    let watchers = watchers.chain(progress.iter().map(Progress::watcher));
    let ended = run_command(command, environment, secret(), watchers.collect());
    if let Some(progress) = progress {
        progress.end(last_word(&ended).0);
    }
    if let Some(reporter) = reporter {
        let (state, reason) = last_word(&ended);
        reporter.end(state, reason);
    }
    ended
}

fn run_command(
    command: Command,
    environment: Environment,
    secret: Vec<u8>,
    watchers: Vec<Box<dyn Watcher>>,
) -> anyhow::Result<Ended> {
    match command {
        Command::Smoke => smoke::run(environment, secret).map(|()| Ended::Done),
        Command::Mnist(arguments) => {
            let checkpoints = arguments.checkpoints;
            let recipe = Mnist {
                data: arguments.data,
                epochs: arguments.epochs,
                batch: arguments.batch,
                learning_rate: arguments.learning_rate,
                dropout: arguments.dropout,
                seed: arguments.seed,
                pictures: arguments.pictures,
                ..Mnist::default()
            };
            let part = Part {
                environment,
                secret,
                updates: match arguments.asynchronous {
                    true => Updates::Asynchronous,
                    false => Updates::Synchronous,
                },
                checkpoints,
                watchers,
            };
            train(&recipe.into(), part)
        }
        Command::Run { folder } => {
            let job = JobFolder::open(&folder)?;
            run_job(&job, environment, secret, watchers)
        }
    }
}
