//! The engine of evcxr behind the trait [`Engine`]: the reference for our own, in tests and by `--engine evcxr`.
//!
//! What evcxr's library does not offer is missing here too: an interrupt ends the process that runs cells, and with
//! it all variables; a panic and a `?` that fails are only printed, and their cell counts as run; text comes by whole
//! lines; there are no displays, only a result at the end. Cells know nothing of Carrel's crates.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use async_trait::async_trait;
use carrel_cell::source::byte_at;
use crossbeam_channel::{Receiver, bounded, select};
use evcxr::{
    CommandContext, CompilationError, Error, EvalCallbacks, EvalContext, EvalContextOutputs,
};
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Cell, Completion, Engine, Failure, MimeBundle, Outcome, Output, StreamName};
use crate::rust_engine::notebook::failure::simple;

/// evcxr waits until a cell's stdout was taken, and for nothing on stderr.
const STDERR_LAG: Duration = Duration::from_millis(20);

/// evcxr's context; it starts with [`Engine::warm_up`] or with the first cell, which takes seconds.
pub struct EvcxrEngine {
    shared: Arc<Shared>,
}

struct Shared {
    /// The program that evcxr starts for cells and as the compiler's wrapper; its `main` begins with
    /// [`evcxr::runtime_hook`].
    program: PathBuf,
    /// Held while a cell runs.
    context: tokio::sync::Mutex<Option<Context>>,
    /// Runs the cells; evcxr puts a new process into it when one ended.
    child: OnceLock<Arc<Mutex<Child>>>,
    interrupted: AtomicBool,
    ended: AtomicBool,
}

struct Context {
    commands: CommandContext,
    printed: EvalContextOutputs,
}

impl EvcxrEngine {
    pub fn new(program: PathBuf) -> Self {
        Self {
            shared: Arc::new(Shared {
                program,
                context: tokio::sync::Mutex::default(),
                child: OnceLock::new(),
                interrupted: AtomicBool::new(false),
                ended: AtomicBool::new(false),
            }),
        }
    }

    /// Does blocking work apart from the async threads.
    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let shared = self.shared.clone();
        let ended = tokio::task::spawn_blocking(move || work(&shared)).await;
        ended.unwrap_or_else(|_| Err(simple("kernel not ready", "evcxr panicked")))
    }
}

#[async_trait]
impl Engine for EvcxrEngine {
    async fn warm_up(&self) {
        let started = self.apart(|shared| shared.start(&mut shared.context.blocking_lock()));
        if let Err(failure) = started.await {
            tracing::warn!("Cells cannot run: {}", failure.evalue);
        }
    }

    async fn execute(&self, cell: &Cell, outputs: mpsc::Sender<Output>) -> Outcome {
        let cell = cell.clone();
        let title = format!("Cell [{}]", cell.number);
        let run = move |shared: &Shared| {
            let bundle = shared.run(&title, &cell.code, &outputs)?;
            if !bundle.data.is_empty() {
                // Nobody listens if the frontend is gone.
                let _ = outputs.blocking_send(Output::Result { bundle });
            }
            Ok(())
        };
        match self.apart(run).await {
            Ok(()) => Outcome::Ok,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn evaluate(&self, expression: &str) -> Result<MimeBundle, Failure> {
        let expression = expression.to_owned();
        let (outputs, _) = mpsc::channel(1);
        self.apart(move |shared| shared.run("expression", &expression, &outputs))
            .await
    }

    /// evcxr's own would wait until the cell that runs has ended.
    async fn complete(&self, _code: &str, _offset: usize) -> Option<Vec<Completion>> {
        None
    }

    async fn inspect(&self, _code: &str, _offset: usize, _detail: bool) -> Option<MimeBundle> {
        None
    }

    fn interrupt(&self) {
        self.shared.interrupted.store(true, Ordering::Relaxed);
        self.shared.kill_child();
    }

    async fn shutdown(&self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.shared.kill_child();
        let _ = self
            .apart(|shared| {
                // evcxr may have started the next child in the meantime.
                let context = shared.context.blocking_lock().take();
                shared.kill_child();
                drop(context);
                Ok(())
            })
            .await;
    }
}

impl Shared {
    fn start(&self, context: &mut Option<Context>) -> Result<(), Failure> {
        if self.ended.load(Ordering::Relaxed) {
            return Err(simple("kernel not ready", "the kernel is shutting down"));
        }
        if context.is_none() {
            let (evaluation, printed) =
                EvalContext::with_subprocess_command(Command::new(&self.program))
                    .map_err(|error| simple("kernel not ready", &error.to_string()))?;
            let commands = CommandContext::with_eval_context(evaluation);
            self.child.get_or_init(|| commands.process_handle());
            *context = Some(Context { commands, printed });
        }
        Ok(())
    }

    fn run(
        &self,
        title: &str,
        code: &str,
        outputs: &mpsc::Sender<Output>,
    ) -> Result<MimeBundle, Failure> {
        let mut context = self.context.blocking_lock();
        self.start(&mut context)?;
        let Some(Context { commands, printed }) = &mut *context else {
            return Err(simple("kernel not ready", "evcxr is not there"));
        };
        self.interrupted.store(false, Ordering::Relaxed);
        let mut callbacks = EvalCallbacks {
            input_reader: &|question| ask(&question.prompt, question.is_password, outputs),
        };
        let (running, ended) = bounded(0);
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| forward(printed, &ended, outputs));
            let ran = commands.execute_with_callbacks(code, &mut callbacks);
            drop::<crossbeam_channel::Sender<()>>(running);
            ran
        });
        match ran {
            Ok(evaluated) => Ok(bundle(evaluated.content_by_mime_type)),
            Err(Error::CompilationErrors(errors)) => Err(compile_error(title, code, &errors)),
            Err(Error::SubprocessTerminated(_)) if self.interrupted.load(Ordering::Relaxed) => {
                let evalue = "the process that runs cells was ended; all variables were lost";
                Err(simple("Interrupted", evalue))
            }
            Err(Error::SubprocessTerminated(reason)) => Err(simple("worker died", &reason)),
            Err(other) => Err(simple("evcxr", &other.to_string())),
        }
    }

    fn kill_child(&self) {
        if let Some(child) = self.child.get() {
            // An error means that it has ended already.
            let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
        }
    }
}

/// Sends what the cell prints until it ended.
fn forward(printed: &EvalContextOutputs, ended: &Receiver<()>, outputs: &mpsc::Sender<Output>) {
    let print = |name, line: String| {
        let text = line + "\n";
        // Nobody listens if the frontend is gone.
        let _ = outputs.blocking_send(Output::Stream { name, text });
    };
    loop {
        select! {
            recv(printed.stdout) -> line => match line {
                Ok(line) => print(StreamName::Stdout, line),
                Err(_) => break,
            },
            recv(printed.stderr) -> line => match line {
                Ok(line) => print(StreamName::Stderr, line),
                Err(_) => break,
            },
            recv(ended) -> _ => break,
        }
    }
    while let Ok(line) = printed.stdout.try_recv() {
        print(StreamName::Stdout, line);
    }
    while let Ok(line) = printed.stderr.recv_timeout(STDERR_LAG) {
        print(StreamName::Stderr, line);
    }
}

/// The person's line; empty if none comes.
fn ask(prompt: &str, password: bool, outputs: &mpsc::Sender<Output>) -> String {
    let (reply, line) = oneshot::channel();
    let question = Output::Input {
        prompt: prompt.to_owned(),
        password,
        reply,
    };
    let _ = outputs.blocking_send(question);
    line.blocking_recv().unwrap_or_default()
}

fn bundle(content: HashMap<String, String>) -> MimeBundle {
    let mut bundle = MimeBundle::default();
    let texts = content.into_iter();
    bundle
        .data
        .extend(texts.map(|(mime, text)| (mime, text.into())));
    bundle
}

fn compile_error(title: &str, code: &str, errors: &[CompilationError]) -> Failure {
    let evalue = errors.first().map_or_else(String::new, |error| {
        let place = error.primary_spanned_message().and_then(|told| told.span);
        match place {
            Some(span) => {
                let (line, column) = (span.start_line, span.start_column);
                format!("{} ({title}:{line}:{column})", error.message())
            }
            None => format!("{} ({title})", error.message()),
        }
    });
    Failure {
        ename: "compile error".to_owned(),
        evalue,
        traceback: errors
            .iter()
            .map(|error| render(title, code, error))
            .collect(),
    }
}

fn render(title: &str, code: &str, error: &CompilationError) -> String {
    let message = error.message();
    let mut heading = Level::ERROR.primary_title(message.as_str());
    if let Some(id) = error.code() {
        heading = heading.id(id);
    }
    let mut group = Group::with_title(heading);
    let annotations: Vec<_> = error
        .spanned_messages()
        .iter()
        .filter_map(|told| {
            let kind = match told.is_primary {
                true => AnnotationKind::Primary,
                false => AnnotationKind::Context,
            };
            let span = told.span?;
            let start = byte_at(code, span.start_line, span.start_column)?;
            let end = byte_at(code, span.end_line, span.end_column)?;
            let range = start..end.max(start);
            Some(kind.span(range).label(told.label.as_str()))
        })
        .collect();
    if !annotations.is_empty() {
        let snippet = Snippet::source(code).path(title).annotations(annotations);
        group = group.element(snippet);
    }
    let help = error.help();
    let help = help.iter().map(|help| Level::HELP.message(help.as_str()));
    Renderer::styled().render(&[group.elements(help)])
}
