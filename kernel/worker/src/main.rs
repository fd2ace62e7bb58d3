//! The process that loads and runs compiled cells. Its socket to the kernel is its stdin, so that it needs no other
//! agreement with its parent; the cells' own stdin is at its end from the start.

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

static RUNNING: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
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
    let channel: &'static Channel = Box::leak(Box::new(Channel::take_stdin()?));
    carrel_prelude::register_renderers();
    carrel_runtime::set_sink(|output| channel.send_output(output));
    carrel_runtime::install_hook();
    interrupt::listen()?;
    let flusher = std::thread::Builder::new()
        .name("flush".to_owned())
        .spawn(flush_partial_lines)?;
    let mut scope = Scope::default();
    let mut report = Report::Ready;
    while let Some(request) = channel.exchange(&report)? {
        let Request::Run {
            library,
            entry,
            drop_variables,
        } = request
        else {
            return Err(io::Error::other("a cell was expected"));
        };
        carrel_runtime::clear_interrupt();
        RUNNING.store(true, Ordering::Relaxed);
        flusher.thread().unpark();
        let ending = run_cell(&mut scope, &library, entry.as_deref(), &drop_variables);
        RUNNING.store(false, Ordering::Relaxed);
        // What stopped this cell is not to stop the tasks and threads that live on.
        carrel_runtime::clear_interrupt();
        // A closed stdout loses text, not the cell.
        let _ = io::stdout().flush();
        let variables = scope.names();
        report = Report::Ended { ending, variables };
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
    match carrel_runtime::guard(|| entry(scope)) {
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

fn flush_partial_lines() {
    loop {
        if RUNNING.load(Ordering::Relaxed) {
            // As above: lost text is no reason to end.
            let _ = io::stdout().flush();
            std::thread::park_timeout(FLUSH_EVERY);
        } else {
            std::thread::park();
        }
    }
}
