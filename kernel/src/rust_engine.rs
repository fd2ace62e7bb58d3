//! Evaluation of Rust: each cell is compiled on its own and loaded into a worker process that holds the variables.

mod analyzer;
mod compiler;
mod dependencies;
mod early;
mod group;
mod memory;
pub(crate) mod notebook;
pub mod prebuilt;
mod scratch;
mod text;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use carrel_protocol::analysis::{Reply, Wish};
use tokio::sync::{Mutex, OnceCell, mpsc, watch};

use self::analyzer::Analyzer;
use self::notebook::session::{Interrupts, Session};
use self::notebook::{commands, failure};
use self::prebuilt::installation::Prelude;
use self::worker::late::LateOutputs;
use self::worker::outputs::print;
use crate::engine::{
    Cell, CommMessage, Completion, Engine, Failure, Late, MimeBundle, Outcome, Output, Parent,
    StreamName,
};

/// A question that comes early waits until the sources of all crates are read. JupyterLab waits as long as its setting
/// `providerTimeout` says, one second where nobody set it, and shows words until then.
const COMPLETE_LIMIT: Duration = Duration::from_secs(4);
const INSPECT_LIMIT: Duration = Duration::from_secs(10);

/// The engine; its parts start with [`Engine::warm_up`] or with the first cell.
#[derive(Debug)]
pub struct RustEngine {
    session: Arc<Mutex<Session>>,
    late: LateOutputs,
    analyzer: Arc<Analyzer>,
    /// A cell heeds those that come while it is compiled or runs.
    interrupts: watch::Sender<Interrupts>,
    waiting: early::Waiting,
    /// Release of the compiler, once it was found.
    version: OnceCell<String>,
}

impl Default for RustEngine {
    fn default() -> Self {
        Self::over(Session::default(), Analyzer::default())
    }
}

impl RustEngine {
    fn over(mut session: Session, analyzer: Analyzer) -> Self {
        let analyzer = Arc::new(analyzer);
        session.analyzer = Arc::clone(&analyzer);
        let mut late = LateOutputs::default();
        let session = Arc::new_cyclic(|shared| {
            late = LateOutputs::of(shared.clone());
            session.late = late.clone();
            Mutex::new(session)
        });
        Self {
            session,
            late,
            analyzer,
            interrupts: watch::Sender::default(),
            waiting: early::Waiting::default(),
            version: OnceCell::new(),
        }
    }

    /// An engine whose analyzer is not beside the prebuilt crates.
    pub fn with_analyzer(program: PathBuf) -> Self {
        Self::over(Session::default(), Analyzer::of(program))
    }

    /// An engine that builds dependencies in this folder, not in the user's cache.
    pub fn building_in(folder: PathBuf) -> Self {
        let mut session = Session::default();
        session.dependencies.folder = Some(folder);
        Self::over(session, Analyzer::default())
    }

    /// An engine that reads `init.evcxr` and `prelude.rs` in this folder before its first cell, and builds dependencies
    /// in its subfolder `cache`.
    pub fn configured_in(folder: PathBuf) -> Self {
        let mut session = Session::default();
        session.dependencies.folder = Some(folder.join("cache"));
        session.configuration.folder = Some(folder);
        Self::over(session, Analyzer::default())
    }
}

#[async_trait]
impl Engine for RustEngine {
    async fn warm_up(&self) {
        let mut session = self.session.lock().await;
        let mut ended = self.interrupts.subscribe();
        let warmed = tokio::select! {
            warmed = session.warm_up() => warmed,
            // A kernel that is restarted at once waits for nothing.
            _ = ended.wait_for(|interrupts| interrupts.shutdown) => return,
        };
        if let Err(failure) = warmed {
            // The first cell tries again, and shows what is still wrong.
            tracing::warn!("Cells cannot run: {}", failure.evalue);
            return;
        }
        // Nobody looks before the first cell: what they show is not shown, but for a build that goes on then. What is
        // wrong is told with that cell.
        let (outputs, shown) = mpsc::channel(1);
        let mut interrupts = self.interrupts.subscribe();
        let configured = async {
            let outputs = outputs;
            configure(&mut session, &Parent::default(), &outputs, &mut interrupts).await
        };
        let (is_done, ()) = tokio::join!(configured, early::forward(shown, &self.waiting));
        if is_done {
            self.analyzer.see(session.seen());
        }
    }

    async fn execute(&self, cell: &Cell, outputs: mpsc::Sender<Output>) -> Outcome {
        let title = format!("Cell [{}]", cell.number);
        match self
            .run(&title, &cell.code, cell.allow_stdin, &cell.parent, &outputs)
            .await
        {
            Ok(()) => Outcome::Ok,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn language_version(&self) -> Option<String> {
        let find = || async {
            // Whoever prepares the crates later is heard too.
            let prelude = tokio::task::spawn_blocking(Prelude::find).await;
            let version = prelude.map_err(drop)?.map_err(drop)?.version;
            let release = version
                .lines()
                .find_map(|line| line.strip_prefix("release: "));
            release.map(str::to_owned).ok_or(())
        };
        self.version.get_or_try_init(find).await.ok().cloned()
    }

    fn late(&self) -> Option<mpsc::Receiver<Late>> {
        Some(self.late.open())
    }

    async fn comm(
        &self,
        message: &CommMessage,
        parent: Parent,
        outputs: mpsc::Sender<Output>,
    ) -> Outcome {
        let mut session = self.session.lock().await;
        let mut interrupts = self.interrupts.subscribe();
        match session
            .comm(message, parent, &outputs, &mut interrupts)
            .await
        {
            Ok(()) => Outcome::Ok,
            Err(failure) => Outcome::Failed(failure),
        }
    }

    async fn evaluate(&self, expression: &str) -> Result<MimeBundle, Failure> {
        let (sender, mut outputs) = mpsc::channel(1);
        let run = async {
            let sender = sender;
            let parent = Parent::default();
            self.run("expression", expression, false, &parent, &sender)
                .await
        };
        let result = async {
            let mut result = MimeBundle::default();
            while let Some(output) = outputs.recv().await {
                if let Output::Result { bundle } = output {
                    result = bundle;
                }
            }
            result
        };
        let (ended, result) = tokio::join!(run, result);
        ended.map(|()| result)
    }

    async fn complete(&self, code: &str, offset: usize) -> Option<Vec<Completion>> {
        if let Some(names) = commands::complete(code, offset) {
            return Some(names);
        }
        let code = commands::blank(code, offset);
        let asked = self
            .analyzer
            .ask(code, offset, Wish::Complete, COMPLETE_LIMIT);
        match asked.await? {
            Reply::Completions(completions) if !completions.is_empty() => Some(completions),
            _ => None,
        }
    }

    async fn inspect(&self, code: &str, offset: usize, detail: bool) -> Option<MimeBundle> {
        let code = commands::blank(code, offset);
        let wish = Wish::Inspect { detail };
        let asked = self.analyzer.ask(code, offset, wish, INSPECT_LIMIT);
        match asked.await? {
            Reply::Description(description) => Some(commands::described(description)),
            _ => None,
        }
    }

    fn interrupt(&self) {
        self.interrupts
            .send_modify(|interrupts| interrupts.count += 1);
    }

    async fn shutdown(&self) {
        self.interrupts
            .send_modify(|interrupts| interrupts.shutdown = true);
        self.analyzer.end();
        self.session.lock().await.end().await;
    }
}

impl RustEngine {
    async fn run(
        &self,
        title: &str,
        code: &str,
        allow_stdin: bool,
        parent: &Parent,
        outputs: &mpsc::Sender<Output>,
    ) -> Result<(), Failure> {
        let mut interrupts = self.interrupts.subscribe();
        self.waiting.send_replace(Some(outputs.clone()));
        let mut session = self.session.lock().await;
        self.waiting.send_replace(None);
        session.allow_stdin = allow_stdin;
        configure_loudly(&mut session, parent, outputs, &mut interrupts).await;
        let mut ended = run(&mut session, title, code, parent, outputs, &mut interrupts).await;
        // `:load_config`: the cell's code sees what it brings.
        if ended.is_ok() && session.configuration.is_asked() {
            configure_loudly(&mut session, parent, outputs, &mut interrupts).await;
            ended = run_rest(&mut session, title, code, parent, outputs, &mut interrupts).await;
        }
        self.analyzer.see(session.seen());
        ended
    }
}

/// Runs the files of the configuration, if that is to be done; tells whether it was.
async fn configure(
    session: &mut Session,
    parent: &Parent,
    outputs: &mpsc::Sender<Output>,
    interrupts: &mut watch::Receiver<Interrupts>,
) -> bool {
    let files = session.configuration.take();
    let is_done = !files.is_empty();
    for (file, code) in files {
        let mut ended = run(session, &file, &code, parent, outputs, interrupts).await;
        if ended.is_ok() && session.configuration.is_asked() {
            ended = run_rest(session, &file, &code, parent, outputs, interrupts).await;
        }
        session.configuration.settle();
        if let Err(failure) = ended {
            let text = format!("{}\n", failure.traceback.join("\n"));
            session.configuration.complaints.push(text);
        }
    }
    is_done
}

/// Runs the code that stands below `:load_config`, which was left until that is done.
async fn run_rest(
    session: &mut Session,
    title: &str,
    code: &str,
    parent: &Parent,
    outputs: &mpsc::Sender<Output>,
    interrupts: &mut watch::Receiver<Interrupts>,
) -> Result<(), Failure> {
    match session.split(code) {
        Ok((_, rest)) if !rest.trim().is_empty() => {
            run(session, title, &rest, parent, outputs, interrupts).await
        }
        _ => Ok(()),
    }
}

/// Does so, and tells what was wrong with them: see [`configure`].
async fn configure_loudly(
    session: &mut Session,
    parent: &Parent,
    outputs: &mpsc::Sender<Output>,
    interrupts: &mut watch::Receiver<Interrupts>,
) {
    configure(session, parent, outputs, interrupts).await;
    for complaint in std::mem::take(&mut session.configuration.complaints) {
        print(outputs, StreamName::Stderr, complaint).await;
    }
}

async fn run(
    session: &mut Session,
    title: &str,
    code: &str,
    parent: &Parent,
    outputs: &mpsc::Sender<Output>,
    interrupts: &mut watch::Receiver<Interrupts>,
) -> Result<(), Failure> {
    let cell = tokio::select! {
        compiled = session.compile(title, code, outputs) => compiled?,
        Ok(()) = interrupts.changed() => return Err(failure::not_begun()),
    };
    session.load(outputs, interrupts).await?;
    let Some(cell) = cell else {
        return Ok(());
    };
    let begun = Instant::now();
    let ended = session.run(cell, parent.clone(), outputs, interrupts).await;
    session.tell_time("ran", begun, outputs).await;
    ended
}
