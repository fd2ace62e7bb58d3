//! The process that loads and runs compiled cells, and functions of cells as ranks of a job. Its socket to the kernel
//! is its stdin, so that it needs no other agreement with its parent; what cells read from stdin is asked of the person.

mod bundle;
mod channel;
mod interrupt;
mod library;

use std::ffi::CString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carrel_protocol::{Ending, Panic, Place, Report, Request};
use carrel_runtime::{Ended, Scope, Stopped};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

use crate::channel::Channel;

/// Text without a line end is shown within this time; std itself writes full lines only.
const FLUSH_EVERY: Duration = Duration::from_millis(15);

fn main() -> ExitCode {
    if let Some(code) = carrel_prelude::run_function() {
        return code;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // The kernel is gone, or is not a kernel.
        Err(error) => {
            eprintln!("carrel-worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let (channel, cells) = Channel::take_stdin()?;
    let channel: &'static Channel = Box::leak(Box::new(channel));
    carrel_prelude::register_all();
    carrel_runtime::connect(channel);
    carrel_prelude::connect(channel);
    carrel_runtime::install_hook();
    interrupt::listen()?;
    let flusher = std::thread::Builder::new()
        .name("flush".to_owned())
        .spawn(|| flush_partial_lines(&channel.running))?;
    let mut scope = Scope::default();
    channel.report(&Report::Ready)?;
    for request in cells {
        carrel_runtime::clear_interrupt();
        channel.running.store(true, Ordering::Relaxed);
        flusher.thread().unpark();
        let ending = match request {
            Request::Run {
                library,
                entry,
                drop_variables,
            } => run_cell(&mut scope, &library, entry.as_deref(), &drop_variables),
            Request::Comm(message) => ending(carrel_runtime::guard(|| {
                carrel_prelude::receive(&message);
                Ended::Ok
            })),
            Request::Taken | Request::Answer { .. } => continue,
        };
        channel.running.store(false, Ordering::Relaxed);
        // What stopped this cell is not to stop the tasks and threads that live on.
        carrel_runtime::clear_interrupt();
        // A closed stdout loses text, not the cell.
        let _ = io::stdout().flush();
        let variables = scope.names();
        channel.report(&Report::Ended { ending, variables })?;
    }
    Ok(())
}

fn run_cell(
    scope: &mut Scope,
    library: &str,
    entry: Option<&str>,
    drop_variables: &[String],
) -> Ending {
    let entry = match load(library, entry) {
        Ok(entry) => entry,
        Err(error) => return Ending::NotLoaded(error),
    };
    scope.drop_variables(drop_variables);
    let Some(entry) = entry else {
        return Ending::Ok;
    };
    // Variables that a cell replaces are dropped outside of its own guard.
    ending(carrel_runtime::guard(|| entry(scope)))
}

fn ending(ended: Result<Ended, Stopped>) -> Ending {
    match ended {
        Ok(Ended::Ok) => Ending::Ok,
        Ok(Ended::Failed(error)) => Ending::Failed {
            chain: error.chain(),
            place: place(error.place().clone()),
        },
        Ok(Ended::Stopped(stopped)) | Err(stopped) => match stopped {
            Stopped::Panicked(panic) => Ending::Panicked(report(panic)),
            Stopped::Interrupted(at) => Ending::Interrupted(place(at)),
        },
    }
}

fn load(library: &str, entry: Option<&str>) -> Result<Option<library::Entry>, String> {
    let text = |text: &str| CString::new(text).map_err(|error| error.to_string());
    let library = library::open(&text(library)?)?;
    entry.map(|name| library.entry(&text(name)?)).transpose()
}

/// A panic in the protocol's words.
fn report(panic: carrel_runtime::Panic) -> Panic {
    Panic {
        message: panic.message,
        place: place(panic.place),
    }
}

fn place(place: carrel_runtime::Place) -> Place {
    Place {
        file: place.file,
        line: place.line,
        column: place.column,
    }
}

fn flush_partial_lines(running: &AtomicBool) {
    loop {
        if running.load(Ordering::Relaxed) {
            // As above: lost text is no reason to end.
            let _ = io::stdout().flush();
            std::thread::park_timeout(FLUSH_EVERY);
        } else {
            std::thread::park();
        }
    }
}
