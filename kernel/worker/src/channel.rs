//! The worker's end of its socket to the kernel.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use carrel_prelude::{Frontends, tasks};
use carrel_protocol::{CommMessage, Ending, Output, Report, Request, decode, encode, length};
use carrel_runtime::{
    Answer, CellError, Output as Sent, Question, Statements, is_interrupted, own_cell, patiently,
};
use nix::unistd::dup2_stdin;

use crate::event::Event;
use crate::words::{mime_bundle, panic_report};

/// Who waits for an answer looks for an interrupt this often.
const SLICE: Duration = Duration::from_millis(20);

/// One thread reads what the kernel says and hands it to the thread that waits for it, so that no wait is in the way
/// of another: a cell that asks for input can still show something on another thread.
pub struct Channel {
    /// For one report at a time.
    socket: Mutex<File>,
    /// Whoever sends an output holds it until the kernel has taken that.
    taken: Mutex<Receiver<()>>,
    /// Whoever asks a question holds it.
    answers: Mutex<Receiver<(u64, Option<String>)>>,
    questions: AtomicU64,
    /// Takes the cells that are left waiting.
    left: Mutex<Sender<Event>>,
    /// Between cells nobody can be asked.
    pub running: AtomicBool,
}

/// Where the reading thread hands things to.
struct Inbox {
    events: Sender<Event>,
    interrupts: Sender<u64>,
    taken: Sender<()>,
    answers: Sender<(u64, Option<String>)>,
}

impl Channel {
    /// Takes the socket from stdin, where programs that cells start find an empty file from here on. Cells to run
    /// go to `events`, and interrupts to `interrupts`.
    pub fn take_stdin(events: Sender<Event>, interrupts: Sender<u64>) -> io::Result<Self> {
        let socket = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        dup2_stdin(File::open("/dev/null")?)?;
        let reader = socket.try_clone()?;
        let left = Mutex::new(events.clone());
        let (taken, outputs) = channel();
        let (answers, lines) = channel();
        let inbox = Inbox {
            events,
            interrupts,
            taken,
            answers,
        };
        std::thread::Builder::new()
            .name("kernel".to_owned())
            .spawn(move || {
                if let Err(error) = inbox.fill(reader) {
                    eprintln!("carrel-worker: the kernel was not understood: {error}");
                }
                // The main thread lives as long as the process.
                let _ = inbox.events.send(Event::Closed);
            })?;
        let channel = Self {
            socket: Mutex::new(socket),
            taken: Mutex::new(outputs),
            answers: Mutex::new(lines),
            questions: AtomicU64::new(0),
            left,
            running: AtomicBool::new(false),
        };
        Ok(channel)
    }

    pub fn report(&self, report: &Report) -> io::Result<()> {
        let frame = encode(report)?;
        patiently(|| lock(&self.socket).write_all(&frame))
    }

    /// Returns when the kernel has taken it.
    fn send_output(&self, output: Output) {
        let cell = own_cell();
        patiently(|| {
            let taken = lock(&self.taken);
            match self.report(&Report::Output { cell, output }) {
                // Without a kernel nobody reads what is lost.
                Ok(()) => drop(taken.recv()),
                Err(error) => eprintln!("carrel-worker: an output was lost: {error}"),
            }
        });
    }
}

impl carrel_runtime::Kernel for Channel {
    fn send(&self, output: Sent) {
        let output = match output {
            Sent::Display {
                bundle,
                display_id,
                update,
            } => Output::Display {
                bundle: mime_bundle(bundle),
                display_id,
                update,
            },
            Sent::Result(bundle) => Output::Result(mime_bundle(bundle)),
            Sent::ClearOutput { wait } => Output::ClearOutput { wait },
            Sent::ThreadPanic(panic) => Output::ThreadPanic(panic_report(panic)),
        };
        self.send_output(output);
    }

    fn print(&self, cell: u64, error: bool, text: &str) {
        let text = text.to_owned();
        // Without a kernel nobody reads what is lost.
        let _ = self.report(&Report::Printed { cell, error, text });
    }

    fn leave(&self) {
        let _ = lock(&self.left).send(Event::Ended(Ending::Left));
    }

    fn ask(&self, question: &Question) -> Answer {
        patiently(|| self.ask_and_wait(question))
    }

    fn enter(&self) -> Result<(), CellError> {
        tasks::enter()
    }

    fn wait(&self, statements: Statements<'_>) -> Result<(), CellError> {
        tasks::wait(statements)
    }
}

impl Channel {
    fn ask_and_wait(&self, question: &Question) -> Answer {
        let answers = lock(&self.answers);
        let number = self.questions.fetch_add(1, Ordering::Relaxed);
        let asked = self.report(&Report::Question {
            question: number,
            prompt: question.prompt.clone(),
            password: question.password,
        });
        if asked.is_err() {
            return Answer::Refused;
        }
        while self.running.load(Ordering::Relaxed) {
            if is_interrupted() {
                return Answer::Interrupted;
            }
            match answers.recv_timeout(SLICE) {
                Ok((answered, Some(line))) if answered == number => return Answer::Line(line),
                Ok((answered, None)) if answered == number => return Answer::Refused,
                // To a question of a cell that was interrupted.
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Answer::Refused,
            }
        }
        Answer::Refused
    }
}

impl Frontends for Channel {
    fn send(&self, message: CommMessage) {
        self.send_output(Output::Comm(message));
    }
}

impl Inbox {
    fn fill(&self, mut socket: File) -> io::Result<()> {
        loop {
            let mut head = [0; 4];
            match socket.read_exact(&mut head) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            let mut body = vec![0; length(head)?];
            socket.read_exact(&mut body)?;
            // Those that nobody waits for any more are dropped.
            let _ = match decode(&body)? {
                Request::Taken => self.taken.send(()).is_ok(),
                Request::Answer { question, line } => self.answers.send((question, line)).is_ok(),
                Request::Interrupt { cell } => self.interrupts.send(cell).is_ok(),
                cell @ (Request::Run { .. } | Request::Comm { .. }) => {
                    self.events.send(Event::Request(cell)).is_ok()
                }
            };
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
