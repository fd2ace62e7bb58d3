//! `carrel-train`: one rank of a training job, on its own or started by an operator (RANK and WORLD_SIZE, or TF_CONFIG).

mod smoke;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use carrel_training::job::{
    JobFolder, RankState, ReportTo, Reporter, SECRET_VARIABLE, StatusFile, THREADS_VARIABLE, Work,
};
use carrel_training::ranks::Environment;
use carrel_training::recipes::{Mnist, Recipe, Setting};
use carrel_training::servers::Updates;
use carrel_training::trainer::{Ended, Watcher};
use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Many tensors of the same sizes are made and dropped in each step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a shell reports of a process that SIGTERM ended.
const STOPPED: u8 = 143;

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

/// Tensors are computed on as many threads as there are processors in the machine, also where a container may use a few
/// of them only.
#[allow(unsafe_code)]
fn heed_cpu_limit() {
    if std::env::var_os(THREADS_VARIABLE).is_none()
        && let Ok(limit) = std::thread::available_parallelism()
    {
        // SAFETY: `main` calls it first, so no other thread can read the environment meanwhile.
        unsafe { std::env::set_var(THREADS_VARIABLE, limit.to_string()) };
    }
}

fn run(command: Command) -> anyhow::Result<Ended> {
    let environment = Environment::from_process()?;
    let secret = std::env::var(SECRET_VARIABLE)
        .unwrap_or_default()
        .into_bytes();
    let reporter = ReportTo::from_process().map(|to| Reporter::start(to, &environment));
    let watchers = reporter.iter().map(Reporter::watcher).collect();
    let ended = run_command(command, environment, secret, watchers);
    if let Some(reporter) = reporter {
        let (state, reason) = last_word(&ended);
        reporter.end(state, reason);
    }
    ended
}

/// How a rank ended, for others.
fn last_word(ended: &anyhow::Result<Ended>) -> (RankState, Option<String>) {
    match ended {
        Ok(Ended::Stopped) => (RankState::Stopped, None),
        Ok(_) => (RankState::Succeeded, None),
        Err(error) => (RankState::Failed, Some(in_full(error))),
    }
}

/// An error with its causes, those left out that it tells itself.
fn in_full(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.as_str() {
            "" => cause,
            said if said.contains(&cause) => said.to_owned(),
            said => format!("{said}: {cause}"),
        }
    })
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

fn run_job(
    job: &JobFolder,
    environment: Environment,
    secret: Vec<u8>,
    mut watchers: Vec<Box<dyn Watcher>>,
) -> anyhow::Result<Ended> {
    let path = job.status_file(environment.rank);
    let status = StatusFile::create(path.clone())
        .with_context(|| format!("cannot write {}", path.display()))?;
    watchers.push(Box::new(status));
    let Work::Recipe(recipe) = &job.description().work else {
        bail!("this job is a function: the program that made it runs it");
    };
    let rank = environment.rank;
    let part = Part {
        environment,
        secret,
        updates: Updates::default(),
        checkpoints: Some(job.checkpoints()),
        watchers,
    };
    let ended = train(recipe, part);
    let (state, reason) = last_word(&ended);
    if let Err(error) = job.end_rank(rank, state, reason) {
        // How training ended is worth more.
        eprintln!("cannot write {}: {error}", path.display());
    }
    ended
}

/// What this rank does of a recipe, and where.
struct Part {
    environment: Environment,
    secret: Vec<u8>,
    updates: Updates,
    checkpoints: Option<PathBuf>,
    watchers: Vec<Box<dyn Watcher>>,
}

fn train(recipe: &Recipe, part: Part) -> anyhow::Result<Ended> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The second one ends the process at once, should a step never end.
        signal_hook::flag::register_conditional_default(signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let stopping = stop.clone();
    let ended = recipe.run(Setting {
        environment: part.environment,
        secret: part.secret,
        updates: part.updates,
        checkpoints: part.checkpoints,
        stop: Arc::new(move || stopping.load(Ordering::Relaxed)),
        watcher: Some(Box::new(part.watchers)),
        say: Box::new(|line| println!("{line}")),
    });
    match ended {
        Ok(history) => Ok(history.ended),
        // When all ranks are asked to end, some find others gone before they come to their own end.
        Err(_) if stop.load(Ordering::Relaxed) => Ok(Ended::Stopped),
        Err(error) => Err(error.into()),
    }
}
