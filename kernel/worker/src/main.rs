//! The process that loads and runs compiled cells, and functions of cells as ranks of a job. Its socket to the kernel
//! is its stdin, so that it needs no other agreement with its parent; what cells read from stdin is asked of the person.

mod cells;
mod channel;
mod event;
mod interrupt;
mod library;
mod orphan;
mod words;

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use carrel_protocol::{Ending, Report};
use carrel_runtime::any_living;

use crate::cells::Variables;
use crate::channel::Channel;
use crate::event::Event;

/// Text without a line end is shown within this time; std itself writes full lines only.
const FLUSH_EVERY: Duration = Duration::from_millis(15);

fn main() -> ExitCode {
    if let Some(code) = carrel_prelude::run_function() {
        return code;
    }
    match run() {
        Ok(()) => orphan::end_all(),
        // The kernel is gone, or is not a kernel.
        Err(error) => {
            eprintln!("carrel-worker: {error}");
            orphan::end_all()
        }
    }
}

fn run() -> io::Result<()> {
    orphan::end_with_kernel()?;
    carrel_runtime::print_lines();
    let (sender, events) = channel();
    let (asked, interrupts) = channel();
    let channel: &'static Channel =
        Box::leak(Box::new(Channel::take_stdin(sender.clone(), asked)?));
    carrel_prelude::register_all();
    carrel_runtime::connect(channel);
    carrel_prelude::connect(channel);
    interrupt::listen(interrupts)?;
    let flusher = std::thread::Builder::new()
        .name("flush".to_owned())
        .spawn(|| flush_partial_lines(&channel.running))?;
    let variables = Variables::default();
    let mut cells = cells::start(variables, sender.clone())?;
    channel.report(&Report::Ready)?;
    for event in events {
        let ending = match event {
            Event::Request(request) => {
                channel.running.store(true, Ordering::Relaxed);
                flusher.thread().unpark();
                // The thread takes cells as long as it is not left.
                let _ = cells.send(request);
                continue;
            }
            Event::Ended(ending) => ending,
            Event::Closed => break,
        };
        channel.running.store(false, Ordering::Relaxed);
        match ending {
            Ending::Left => {
                carrel_runtime::end_cell();
                cells = cells::start(variables, sender.clone())?;
            }
            // What a cell that is left waiting holds may be what printing waits for.
            _ => carrel_runtime::flush(),
        }
        let variables = variables.names();
        channel.report(&Report::Ended { ending, variables })?;
    }
    Ok(())
}

fn flush_partial_lines(running: &AtomicBool) {
    loop {
        if running.load(Ordering::Relaxed) || any_living() {
            carrel_runtime::flush();
            std::thread::park_timeout(FLUSH_EVERY);
        } else {
            std::thread::park();
        }
    }
}
