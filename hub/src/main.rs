//! The program `carrel-hub`: arguments, logging, signals.

mod ask;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use carrel_hub::config::Config;
use carrel_hub::error::chain;
use carrel_hub::run::Hub;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit status for a configuration that cannot be used (EX_USAGE of sysexits.h).
const EX_USAGE: u8 = 64;

#[derive(Debug, Parser)]
#[command(
    version,
    about = "The Hub of Carrel: logs users in and runs their notebook servers"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file (YAML); without it everything has its default.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for the database, the users' files and the logs.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CARREL_STATE",
        default_value = ".carrel"
    )]
    state: PathBuf,
    /// Port to listen on, instead of JupyterHub.port.
    #[arg(long, global = true)]
    port: Option<u16>,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// Run the Hub (the default).
    Serve,
    /// Bring the database to this version's tables and end.
    Migrate,
    /// Set a user's password, read from standard input, and end the user's logins. The Hub may run meanwhile.
    SetPassword {
        /// Created, if the configuration lets this user log in.
        user: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    start_logging();
    carrel_hub::memory::return_large_blocks();
    let mut config = match Config::load(arguments.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(EX_USAGE);
        }
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(port) = arguments.port {
        config.jupyter_hub.port = port;
    }
    match run(
        arguments.command.unwrap_or(Command::Serve),
        config,
        arguments.state,
    ) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carrel-hub: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, config: Config, state: PathBuf) -> anyhow::Result<()> {
    // Each thread costs memory, and the Hub mostly waits.
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(16)
        .enable_all()
        .build()
        .context("could not start the async runtime")?;
    runtime.block_on(async {
        let state = std::path::absolute(&state).context("could not resolve the state folder")?;
        match command {
            Command::Migrate => Ok(carrel_hub::run::migrate(&config, &state).await?),
            Command::SetPassword { user } => {
                let password = ask::password(&user)?;
                let created =
                    carrel_hub::run::set_password(&config, &state, &user, password).await?;
                let done = if created { "created with" } else { "given" };
                println!("User {user} was {done} this password.");
                Ok(())
            }
            Command::Serve => {
                let shutdown = told_to_end()?;
                Ok(Hub::open(config, &state).await?.serve(shutdown).await?)
            }
        }
    })
}

/// SIGINT (Ctrl-C) or SIGTERM.
fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("The Hub ends");
    })
}

/// One line per event on stderr; `RUST_LOG` chooses more or less.
fn start_logging() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
