//! One notebook's compiler, worker and state, and the life of a cell between them.

mod configuration;
mod depend;
mod obey;
mod request;
mod shell;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use carrel_cell::diagnostics::Sources;
use carrel_cell::parse::{Parsed, SyntaxError, parse};
use carrel_protocol::{Ending, Request, analysis};
use tokio::sync::{mpsc, oneshot, watch};

pub use self::configuration::Configuration;
use super::commands::{self, Command, CommandError};
use super::failure;
use super::seen::seen;
use super::{Notebook, Runnable};
use crate::engine::{CommMessage, Failure, Parent, StreamName};
use crate::rust_engine::analyzer::Analyzer;
use crate::rust_engine::compiler::compile::Toolchain;
use crate::rust_engine::dependencies::Dependencies;
use crate::rust_engine::prebuilt::installation::Prelude;
use crate::rust_engine::scratch::Scratch;
use crate::rust_engine::worker::Worker;
use crate::rust_engine::worker::late::LateOutputs;
use crate::rust_engine::worker::outputs::{Outputs, print};

/// syn recurses on nesting; with its limit this stack is always enough.
const PARSER_STACK: usize = 256 << 20;

/// What came to a running cell from outside.
#[derive(Debug, Default)]
pub struct Interrupts {
    pub count: u64,
    /// The kernel shuts down; there is nothing to wait for.
    pub shutdown: bool,
}

#[derive(Debug, Default)]
pub struct Session {
    tools: Option<Tools>,
    worker: Option<Worker>,
    notebook: Notebook,
    pub dependencies: Dependencies,
    /// How many libraries of dependencies the worker has.
    loaded: usize,
    /// Variables that the worker is to drop when it loads the next one.
    outdated: Vec<String>,
    /// Times of cells are told.
    timing: bool,
    /// Whether the frontend of the running cell takes questions.
    pub allow_stdin: bool,
    /// Where outputs go that come when their cell has ended.
    pub late: LateOutputs,
    /// Of the requests to workers; counts up.
    number: u64,
    /// Variables that a person has set for the next worker.
    environment: BTreeMap<String, String>,
    pub analyzer: Arc<Analyzer>,
    pub configuration: Configuration,
    ended: bool,
}

#[derive(Debug)]
struct Tools {
    toolchain: Toolchain,
    folder: Scratch,
}

impl Session {
    /// Starts the worker, and compiles a cell to have the compiler and its crates in memory.
    pub async fn warm_up(&mut self) -> Result<(), Failure> {
        self.start().await?;
        let (outputs, _) = mpsc::channel(1);
        let cell = self.compile_code("warm-up", "1 + 1", &outputs).await?;
        let mut interrupts = watch::Sender::default().subscribe();
        let parent = Parent::default();
        self.run(cell, parent, &outputs, &mut interrupts).await
    }

    /// Obeys a cell's commands and compiles its code, if there is any. Dropping the future ends the compiler.
    pub async fn compile(
        &mut self,
        title: &str,
        code: &str,
        outputs: &Outputs,
    ) -> Result<Option<Runnable>, Failure> {
        let (commands, code) = self
            .split(code)
            .map_err(|error| failure::command(&format!("{title}:{}", error.line), &error.reason))?;
        let is_dep = |command: &Command| matches!(command, Command::Dep(_));
        for commands in commands.chunk_by(|one, next| is_dep(one) && is_dep(next)) {
            self.obey(commands, title, outputs).await?;
        }
        let configures = commands.contains(&Command::LoadConfig);
        if configures || !commands.is_empty() && code.trim().is_empty() {
            return Ok(None);
        }
        let begun = Instant::now();
        let cell = self.compile_code(title, &code, outputs).await?;
        self.tell_time("compiled", begun, outputs).await;
        Ok(Some(cell))
    }

    /// A cell's commands and its code.
    pub fn split(&self, code: &str) -> Result<(Vec<Command>, String), CommandError> {
        commands::split(code, &|name| self.notebook.knows(name))
    }

    /// Tells how long something took, after `:timing`.
    pub async fn tell_time(&self, what: &str, begun: Instant, outputs: &Outputs) {
        if self.timing {
            let text = format!("{what} in {} ms\n", begun.elapsed().as_millis());
            print(outputs, StreamName::Stderr, text).await;
        }
    }

    async fn compile_code(
        &mut self,
        title: &str,
        code: &str,
        outputs: &Outputs,
    ) -> Result<Runnable, Failure> {
        self.start().await?;
        let Some(tools) = &self.tools else {
            return Err(failure::tool("the compiler is not there"));
        };
        let optimized = tools.toolchain.opt_level > 0;
        let macros = self.notebook.items.value_macros();
        let parsed = parse_apart(code, optimized, macros).await?;
        if let Ok(parsed) = &parsed {
            self.depend_on_named(parsed, title, outputs).await?;
        }
        let Some(tools) = &self.tools else {
            return Err(failure::tool("the compiler is not there"));
        };
        let toolchain = &tools.toolchain;
        let cell = match parsed {
            Ok(parsed) => self.notebook.compile(toolchain, title, code, parsed).await,
            Err(error) => Err(match commands::foreign(code) {
                Some(reason) => failure::syntax_error(title, &reason),
                None => self.notebook.explain(toolchain, title, code, &error).await,
            }),
        };
        let cell = cell?;
        for warning in &cell.warnings {
            print(outputs, StreamName::Stderr, format!("{warning}\n")).await;
        }
        for (name, reason) in cell.drops() {
            if cell.declared(name).is_err() {
                let text = format!("`{name}` was dropped: {reason}\n");
                print(outputs, StreamName::Stderr, text).await;
            }
        }
        Ok(cell)
    }

    /// Runs a compiled cell to its end, or ends the worker if the cell does not heed an interrupt.
    pub async fn run(
        &mut self,
        mut cell: Runnable,
        parent: Parent,
        outputs: &Outputs,
        interrupts: &mut watch::Receiver<Interrupts>,
    ) -> Result<(), Failure> {
        let (ending, alive) = loop {
            let number = self.begin(parent.clone());
            let request = cell.request(number);
            match self
                .run_request(number, &request, outputs, interrupts)
                .await?
            {
                (Ending::NotLoaded(reason), _) => {
                    let sources = &self.notebook.sources;
                    link_fully(self.tools.as_ref(), sources, &mut cell, &reason).await?;
                }
                ended => break ended,
            }
        };
        let before: Vec<String> = self.notebook.variables.keys().cloned().collect();
        self.notebook
            .ran(cell, matches!(ending, Ending::Ok), &alive);
        let is_lost = |name: &String| !self.notebook.variables.contains_key(name);
        let lost: Vec<String> = before.into_iter().filter(is_lost).collect();
        self.outcome(ending, &lost)
    }

    /// Runs the callbacks that listen to a frontend's message, as it runs a cell.
    pub async fn comm(
        &mut self,
        message: &CommMessage,
        parent: Parent,
        outputs: &Outputs,
        interrupts: &mut watch::Receiver<Interrupts>,
    ) -> Result<(), Failure> {
        self.late.comms.note(message);
        if self.worker.is_none() {
            // No cell ran yet, so none listens.
            self.late.comms.close_all(outputs).await;
            return Ok(());
        }
        self.allow_stdin = false;
        let cell = self.begin(parent);
        let message = message.clone();
        let request = Request::Comm { cell, message };
        let (ending, _) = self
            .run_request(cell, &request, outputs, interrupts)
            .await?;
        self.outcome(ending, &[])
    }

    /// The number of a request that begins.
    fn begin(&mut self, parent: Parent) -> u64 {
        self.number += 1;
        self.late.begin(self.number, parent);
        self.number
    }

    /// The cells that ran, by their files.
    pub fn sources(&self) -> &Sources {
        &self.notebook.sources
    }

    /// What the next cell sees, for the analyzer.
    pub fn seen(&self) -> analysis::Notebook {
        seen(&self.notebook, &self.dependencies)
    }

    /// Ends the worker; later cells are refused.
    pub async fn end(&mut self) {
        self.ended = true;
        self.kill_worker().await;
        self.tools = None;
    }

    async fn start(&mut self) -> Result<(), Failure> {
        if self.ended {
            return Err(failure::tool("the kernel is shutting down"));
        }
        if let Some(Err(reason)) = self.tools.as_ref().map(Tools::check) {
            self.start_anew(reason).await?;
        }
        if self.tools.is_none() {
            let tools = Tools::find().await.map_err(|reason| failure::tool(&reason));
            self.tools = Some(tools?);
        }
        if self.worker.is_none() {
            self.start_worker()
                .await
                .map_err(|reason| failure::tool(&reason))?;
        }
        Ok(())
    }

    /// With other tools, where nothing lives that was made by these.
    async fn start_anew(&mut self, reason: &str) -> Result<(), Failure> {
        let is_empty = self.notebook.variables.is_empty()
            && self.notebook.items.libraries().next().is_none()
            && self.dependencies.libraries().next().is_none();
        if !is_empty {
            return Err(failure::tool(&format!(
                "{reason}: restart the kernel, or forget by `:clear` what its cells defined"
            )));
        }
        self.kill_worker().await;
        let before = self.tools.take();
        let mut tools = Tools::find()
            .await
            .map_err(|reason| failure::tool(&reason))?;
        if let Some(before) = before {
            tools.toolchain.opt_level = before.toolchain.opt_level;
        }
        for (name, value) in &self.dependencies.environment {
            tools.toolchain.rustc.set(name.clone(), value.clone());
        }
        self.tools = Some(tools);
        Ok(())
    }

    async fn start_worker(&mut self) -> Result<(), String> {
        let Some(tools) = &self.tools else {
            return Ok(());
        };
        let late = self.late.clone();
        let mut worker = Worker::start(&tools.toolchain.prelude, &self.environment, late).await?;
        let dependencies: Vec<_> = self.dependencies.libraries().collect();
        for library in dependencies
            .iter()
            .copied()
            .chain(self.notebook.items.libraries())
        {
            let loaded = depend::load(&mut worker, &mut self.number, library, Vec::new()).await;
            loaded
                .map_err(|error| format!("{error}; `:clear` starts without what cells defined"))?;
        }
        self.loaded = dependencies.len();
        self.outdated.clear();
        self.worker = Some(worker);
        Ok(())
    }

    /// Ends the worker, and with it its comms, of which frontends learn.
    async fn lose_worker(&mut self, outputs: &Outputs) {
        self.kill_worker().await;
        self.late.comms.close_all(outputs).await;
    }

    async fn kill_worker(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            worker.kill().await;
        }
    }

    /// `lost` are variables that are no more.
    fn outcome(&self, ending: Ending, lost: &[String]) -> Result<(), Failure> {
        let sources = &self.notebook.sources;
        match ending {
            Ending::Ok => Ok(()),
            Ending::Failed { chain, place } => Err(failure::error(&chain, &place, sources)),
            Ending::Panicked(panic) => Err(failure::panic(&panic, sources)),
            Ending::Interrupted(place) => Err(failure::interrupted(&place, lost, sources)),
            Ending::Left => Err(failure::left(lost)),
            // Only a cell is loaded, and that was tried again.
            Ending::NotLoaded(reason) => Err(failure::tool(&reason)),
        }
    }
}

impl Tools {
    async fn find() -> Result<Self, String> {
        let find = || {
            let prelude = Prelude::find().map_err(|error| error.to_string())?;
            let folder = Scratch::make()?;
            let toolchain = Toolchain::new(prelude, folder.path().to_owned())?;
            Ok(Self { toolchain, folder })
        };
        tokio::task::spawn_blocking(find)
            .await
            .map_err(|error| error.to_string())?
    }

    /// Whether cells can go on with them.
    fn check(&self) -> Result<(), &'static str> {
        if !self.toolchain.prelude.is_there() {
            return Err("the crates of Carrel were updated since this kernel started");
        }
        if !self.folder.path().is_dir() {
            return Err("the folder of this kernel's compiled cells was removed");
        }
        Ok(())
    }
}

/// Parses on a thread of its own: with a large stack, and because proc-macro2 keeps every text that it parsed for
/// as long as its thread lives.
async fn parse_apart(
    code: &str,
    optimized: bool,
    value_macros: HashSet<String>,
) -> Result<Result<Parsed, SyntaxError>, Failure> {
    let code = code.to_owned();
    let (send, parsed) = oneshot::channel();
    let spawned = std::thread::Builder::new()
        .name("parse".to_owned())
        .stack_size(PARSER_STACK)
        .spawn(move || {
            // An interrupt waits for no parser.
            let _ = send.send(parse(&code, optimized, value_macros));
        });
    match (spawned, parsed.await) {
        (Ok(_), Ok(parsed)) => Ok(parsed),
        _ => Err(failure::tool("the parser's thread ended")),
    }
}

/// Links a cell that could not be loaded with all that the C compiler has, or says what it lacks.
async fn link_fully(
    tools: Option<&Tools>,
    sources: &Sources,
    cell: &mut Runnable,
    reason: &str,
) -> Result<(), Failure> {
    let not_loaded = || failure::tool(&format!("the compiled cell could not be loaded: {reason}"));
    let symbol = reason.split_once("undefined symbol: ");
    let (Some((_, symbol)), Some(tools)) = (symbol, tools) else {
        return Err(not_loaded());
    };
    if cell.linked_fully {
        let source = sources.get(&cell.file());
        return Err(source.map_or_else(not_loaded, |cell| failure::no_symbol(cell, symbol)));
    }
    let library = tools.toolchain.link_fully(&cell.name, &[]).await;
    cell.library = library.map_err(|_| not_loaded())?;
    cell.linked_fully = true;
    Ok(())
}
