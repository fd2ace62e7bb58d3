//! The program `carrel-kernel`: runs the kernel for a connection file, or installs its kernelspec.

use std::future::pending;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use carrel_kernel::connection::ConnectionFile;
use carrel_kernel::engine::Engine;
#[cfg(feature = "evcxr")]
use carrel_kernel::evcxr_engine::EvcxrEngine;
use carrel_kernel::history::History;
use carrel_kernel::kernelspec::{self, Location, Name, Told};
use carrel_kernel::rust_engine::RustEngine;
use carrel_kernel::rust_engine::prebuilt::installation::locate;
use carrel_kernel::rust_engine::prebuilt::missing::missing;
use carrel_kernel::rust_engine::prebuilt::prepare::{Prepared, prepare};
use carrel_kernel::server::Server;
use clap::{Args, Parser, Subcommand, ValueEnum};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, getppid};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing_subscriber::EnvFilter;

/// A Jupyter kernel for Rust.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Arguments {
    /// Connection file written by Jupyter.
    #[arg(short = 'f', long, value_name = "FILE")]
    connection_file: Option<PathBuf>,
    /// What evaluates cells.
    #[arg(long, value_enum, default_value_t, requires = "connection_file")]
    engine: EngineName,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum EngineName {
    /// Carrel's own.
    #[default]
    Rust,
    /// That of evcxr, in a kernel that was built with `--features evcxr`.
    Evcxr,
}

#[derive(Subcommand)]
enum Command {
    /// Tell Jupyter about this kernel, and what is missing for it.
    Install(InstallArguments),
    /// Copy the crates that every cell sees from where cargo built them, if that was not done yet.
    Prepare(PrepareArguments),
}

#[derive(Args)]
struct InstallArguments {
    #[command(flatten)]
    location: LocationArguments,
    /// What Jupyter calls it.
    #[arg(long, default_value = kernelspec::NAME, value_parser = kernelspec::name)]
    name: String,
    /// Put it in the place of another program's kernel of the name.
    #[arg(long)]
    force: bool,
    /// Folder that `prepare` filled; without it the one in the user's data folder.
    #[arg(long, value_name = "DIR")]
    prelude: Option<PathBuf>,
    /// The library of ONNX Runtime, for the servers of models that cells start.
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct LocationArguments {
    /// For this user only.
    #[arg(long)]
    user: bool,
    /// Under DIR/share/jupyter.
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// In the active Python environment.
    #[arg(long)]
    sys_prefix: bool,
}

#[derive(Args)]
struct PrepareArguments {
    /// Folder of a release build, `target/release`; without it where this program is.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Where to put them, for `$CARREL_PRELUDE_DIR`; by default the user's data folder.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    // evcxr runs cells, and wraps the compiler, in processes of this program.
    #[cfg(feature = "evcxr")]
    evcxr::runtime_hook();
    let filter = EnvFilter::try_from_env("CARREL_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = Arguments::parse();
    match (arguments.command, arguments.connection_file) {
        (Some(Command::Install(arguments)), _) => install(arguments),
        (Some(Command::Prepare(arguments)), _) => prepare_crates(&arguments),
        (None, Some(file)) => {
            let connection = ConnectionFile::read(&file)?;
            let engine = engine(arguments.engine)?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .context("cannot start the async runtime")?;
            let served = runtime.block_on(serve(&connection, engine));
            // A thread that still reads from a client must not hold the process.
            runtime.shutdown_background();
            served
        }
        (None, None) => anyhow::bail!("--connection-file FILE is missing"),
    }
}

fn engine(name: EngineName) -> anyhow::Result<Arc<dyn Engine>> {
    match name {
        EngineName::Rust => Ok(Arc::new(RustEngine::default())),
        #[cfg(feature = "evcxr")]
        EngineName::Evcxr => {
            let program =
                std::env::current_exe().context("cannot find the path of this program")?;
            Ok(Arc::new(EvcxrEngine::new(program)))
        }
        #[cfg(not(feature = "evcxr"))]
        EngineName::Evcxr => anyhow::bail!(
            "this kernel was built without evcxr; build it with `cargo build -p carrel-kernel --features evcxr`"
        ),
    }
}

async fn serve(connection: &ConnectionFile, engine: Arc<dyn Engine>) -> anyhow::Result<()> {
    let server = Server::bind(connection, engine, History::of_user()).await?;
    let (interrupt, interrupts) = mpsc::channel(1);
    let mut sigint = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        while sigint.recv().await.is_some() {
            // A full queue means that an interrupt is on its way already.
            let _ = interrupt.try_send(());
        }
    });
    let mut sigterm = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let end = async move {
        tokio::select! {
            _ = sigterm.recv() => tracing::info!("Ending on SIGTERM"),
            () = parent_gone() => tracing::info!("Ending because the process that started this kernel is gone"),
        }
    };
    server.serve(end, interrupts).await;
    Ok(())
}

fn install(arguments: InstallArguments) -> anyhow::Result<()> {
    let absolute = |path: Option<PathBuf>| path.map(std::path::absolute).transpose();
    // Told to the kernel, so that a notebook beside another `rust-toolchain.toml` finds it too.
    let prelude = arguments.prelude.or_else(|| locate().ok());
    let told = Told {
        prelude: absolute(prelude).context("cannot find the folder of --prelude")?,
        onnxruntime: absolute(arguments.onnxruntime).context("cannot find --onnxruntime")?,
    };
    let name = Name {
        name: arguments.name,
        replace: arguments.force,
    };
    let folder = kernelspec::install(&name, &arguments.location.location(), &told)?;
    println!(
        "Installed the kernelspec {} in {}",
        name.name,
        folder.display()
    );
    let missing = missing(told.prelude.as_deref());
    for missing in &missing {
        eprintln!("missing: {}", missing.what);
    }
    if missing.iter().any(|missing| missing.is_needed) {
        anyhow::bail!("cells cannot run before what is missing is there");
    }
    Ok(())
}

fn prepare_crates(arguments: &PrepareArguments) -> anyhow::Result<()> {
    match prepare(arguments.from.as_deref(), arguments.to.as_deref())? {
        Prepared::Made(folder) => println!("Prepared the crates for cells in {}", folder.display()),
        Prepared::UpToDate(folder) => {
            println!(
                "The crates for cells in {} are up to date",
                folder.display()
            );
        }
    }
    Ok(())
}

/// Completes when the process in `$JPY_PARENT_PID`, which Jupyter sets, has ended.
async fn parent_gone() {
    let parent = std::env::var("JPY_PARENT_PID")
        .ok()
        .and_then(|pid| pid.parse().ok())
        .filter(|pid| *pid > 0);
    let Some(parent) = parent.map(Pid::from_raw) else {
        return pending().await;
    };
    let own_child = getppid() == parent;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // An ended parent may stay as a zombie, which a child notices by its new parent.
        if own_child && getppid() != parent || kill(parent, None) == Err(Errno::ESRCH) {
            return;
        }
    }
}

impl LocationArguments {
    fn location(&self) -> Location {
        match (&self.prefix, self.sys_prefix) {
            (Some(prefix), _) => Location::Prefix(prefix.clone()),
            (None, true) => Location::SysPrefix,
            (None, false) => Location::User,
        }
    }
}
