//! The program `carrel-hub`: arguments, logging, signals.

mod ask;
mod proxy_command;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use carrel_hub::chain::chain;
use carrel_hub::config::{Config, Secret};
use carrel_hub::run::Hub;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Exit status for a configuration that cannot be used (EX_USAGE of sysexits.h).
const EX_USAGE: u8 = 64;
/// That of configurable-http-proxy.
const DEFAULT_PORT: u16 = 8000;

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
    /// Run the proxy alone, beside a Hub that tells it the routes by the REST API of configurable-http-proxy. --state is
    /// where it keeps the routes.
    Proxy(proxy_command::Arguments),
    /// Bring the database to this version's tables and end.
    Migrate,
    /// Take over the users, groups, tokens, servers and shares of a stopped JupyterHub 5 or 6, into a database that is new,
    /// and print a configuration for it with what could not be taken.
    ImportJupyterhub {
        /// Its database, `jupyterhub.sqlite`.
        database: PathBuf,
        /// Its configuration, `jupyterhub_config.py`, which is read and not run.
        python: Option<PathBuf>,
    },
    /// Say what the Hub and its chart take of a file: the Hub's own configuration, or values of the chart or of Zero to
    /// JupyterHub. Starts nothing.
    Check {
        /// The file (YAML).
        file: PathBuf,
    },
    /// Set a user's password, read from standard input, and end the user's logins. The Hub may run meanwhile.
    SetPassword {
        /// Created, if the configuration lets this user log in.
        user: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match &arguments.command {
        Some(Command::Proxy(proxy)) => proxy.log_level.name(),
        _ => "info,sqlx=warn",
    };
    start_logging(level);
    if let Some(Command::Check { file }) = &arguments.command {
        return check(file);
    }
    carrel_hub::memory::return_large_blocks();
    if let Some(Command::Proxy(proxy)) = arguments.command {
        let port = arguments.port.unwrap_or(DEFAULT_PORT);
        return ended(run_proxy(proxy, port, &arguments.state));
    }
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
    let token = &mut config.configurable_http_proxy.auth_token;
    if token.is_none() {
        *token = proxy_command::token().map(Secret);
    }
    ended(run(
        arguments.command.unwrap_or(Command::Serve),
        config,
        arguments.state,
    ))
}

fn ended(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("carrel-hub: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path) -> ExitCode {
    match carrel_hub::config::check(file) {
        Ok(told) => {
            println!("{}", told.text);
            ExitCode::from(if told.refused { EX_USAGE } else { 0 })
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(EX_USAGE)
        }
    }
}

/// Each thread costs memory, and the Hub mostly waits.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let workers = std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(16)
        .enable_all()
        .build()
        .context("could not start the async runtime")
}

fn run_proxy(arguments: proxy_command::Arguments, port: u16, state: &Path) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let shutdown = told_to_end("The proxy ends")?;
        proxy_command::run(arguments, port, state, shutdown).await
    })
}

fn run(command: Command, config: Config, state: PathBuf) -> anyhow::Result<()> {
    runtime()?.block_on(async {
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
            Command::ImportJupyterhub { database, python } => {
                let python = python.as_deref();
                let yaml =
                    carrel_hub::run::import_jupyterhub(&config, &state, &database, python).await?;
                print!("{yaml}");
                Ok(())
            }
            // Done before the configuration was read.
            Command::Check { .. } | Command::Proxy(_) => Ok(()),
            Command::Serve => {
                let shutdown = told_to_end("The Hub ends")?;
                Ok(Hub::open(config, &state).await?.serve(shutdown).await?)
            }
        }
    })
}

/// SIGINT (Ctrl-C) or SIGTERM.
fn told_to_end(news: &'static str) -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("{news}");
    })
}

/// One line per event on stderr, from `level` on; `RUST_LOG` chooses more or less.
fn start_logging(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}
