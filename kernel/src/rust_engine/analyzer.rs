//! The analyzer process: started when the notebook has been still for a moment or by the first question, and again after
//! it ended. It shares nothing with the cell that runs but a picture of the notebook.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use carrel_protocol::analysis::{Answer, Description, Notebook, Question, Reply, Wish};
use carrel_protocol::{encode, take_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot, watch};

use crate::rust_engine::memory;
use crate::rust_engine::prebuilt::installation::{ANALYZER, CRATES, Prelude};

/// Questions that wait to be written.
const QUEUE: usize = 16;
const CHUNK: usize = 64 * 1024;
/// An analyzer that ends this often without an answer will not do better, as long as it is the same program.
const MOST_FAILURES: u32 = 3;
/// Its memory goes back to the machine when nobody asks for so long; it comes again with the next cell or question.
const IDLE: Duration = Duration::from_secs(600);
/// After a cell it reads the libraries, which takes seconds, so that the first answer does not: but not between the cells
/// of a notebook that is run as a whole.
const STILL: Duration = Duration::from_secs(1);
/// Where less memory than this is left, it waits for a question: it takes some 400 MiB, and a container that has no more is
/// ended as a whole.
const ROOM: u64 = 1 << 30;

/// Answers what the analyzer process knows.
#[derive(Debug, Default)]
pub struct Analyzer {
    /// None is the one that was prepared beside the prelude.
    program: Option<PathBuf>,
    notebook: watch::Sender<Arc<Notebook>>,
    asks: Mutex<Option<mpsc::Sender<Ask>>>,
}

#[derive(Debug)]
struct Ask {
    notebook: Arc<Notebook>,
    code: String,
    offset: usize,
    wish: Wish,
    reply: oneshot::Sender<Reply>,
}

impl Analyzer {
    pub fn of(program: PathBuf) -> Self {
        Self {
            program: Some(program),
            ..Self::default()
        }
    }

    /// Takes note of what the next cell sees, and gets ready for questions about it.
    pub fn see(&self, notebook: Notebook) {
        self.asks();
        self.notebook.send_replace(Arc::new(notebook));
    }

    /// Asks about a byte of a cell's code; gives nothing after `limit`, or if there is no analyzer. A question that
    /// was given up still makes the process start.
    pub async fn ask(
        &self,
        code: String,
        offset: usize,
        wish: Wish,
        limit: Duration,
    ) -> Option<Reply> {
        let notebook = self.notebook.borrow().clone();
        let (reply, received) = oneshot::channel();
        let ask = Ask {
            notebook,
            code,
            offset,
            wish,
            reply,
        };
        self.asks().try_send(ask).ok()?;
        tokio::time::timeout(limit, received).await.ok()?.ok()
    }

    /// Ends the process.
    pub fn end(&self) {
        *self.asks.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn asks(&self) -> mpsc::Sender<Ask> {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        asks.get_or_insert_with(|| {
            let (asks, received) = mpsc::channel(QUEUE);
            let notebooks = self.notebook.subscribe();
            tokio::spawn(serve(self.program.clone(), notebooks, received));
            asks
        })
        .clone()
    }
}

impl Ask {
    /// One whose answer nobody waits for: what it needs, most questions need.
    fn ahead(notebook: Arc<Notebook>) -> Self {
        let (reply, _) = oneshot::channel();
        let code = "vec![0].iter().".to_owned();
        Self {
            notebook,
            offset: code.len(),
            code,
            wish: Wish::Complete,
            reply,
        }
    }

    /// A person who wants to know something is told why that cannot be; a completion is made up for.
    fn refuse(self, reason: &str) {
        let plain = format!(
            "Completion and inspection know nothing yet: {reason}. `make run` builds carrel-analyzer when the Hub is up, see \
             its log; `carrel-kernel prepare` brings it to the kernel."
        );
        if let Wish::Inspect { .. } = self.wish {
            let markdown = plain.clone();
            let told = Reply::Description(Description { plain, markdown });
            // The asker may have waited long enough.
            let _ = self.reply.send(told);
        }
    }
}

/// Keeps a process running for as long as there are questions.
async fn serve(
    program: Option<PathBuf>,
    mut notebooks: watch::Receiver<Arc<Notebook>>,
    mut asks: mpsc::Receiver<Ask>,
) {
    let mut failures = 0;
    // The program that is of no use, and why.
    let mut useless: Option<(Option<SystemTime>, String)> = None;
    while let Some(ask) = first(&mut notebooks, &mut asks).await {
        if let Some((program_then, reason)) = &useless {
            if *program_then == stamp(program.clone()).await {
                ask.refuse(reason);
                continue;
            }
            (failures, useless) = (0, None);
        }
        let reason = match Process::start(program.clone()).await {
            Ok(mut process) => {
                let answered = process.answer(ask, &mut asks).await;
                // Where nobody asked for long, only a further cell begins anew.
                notebooks.mark_unchanged();
                failures = if answered { 0 } else { failures + 1 };
                (failures == MOST_FAILURES).then(|| "the analyzer ends by itself".to_owned())
            }
            Err(reason) => {
                ask.refuse(&reason);
                Some(reason)
            }
        };
        if let Some(reason) = reason {
            tracing::warn!("Completion knows keywords and words only: {reason}");
            useless = Some((stamp(program.clone()).await, reason));
        }
    }
}

/// Tells whether the program is another one now: it may be built after the kernel has started.
async fn stamp(program: Option<PathBuf>) -> Option<SystemTime> {
    let look = || {
        let program = program.or_else(|| Some(Prelude::find().ok()?.folder.join(ANALYZER)));
        std::fs::metadata(program?).ok()?.modified().ok()
    };
    tokio::task::spawn_blocking(look).await.ok()?
}

/// The next question; or one ahead of it, when the notebook has changed and is still.
async fn first(
    notebooks: &mut watch::Receiver<Arc<Notebook>>,
    asks: &mut mpsc::Receiver<Ask>,
) -> Option<Ask> {
    let still = async {
        // The notebook's end is told by that of the questions.
        while notebooks.changed().await.is_ok() {
            tokio::time::sleep(STILL).await;
            let has_room = memory::available().is_none_or(|available| available >= ROOM);
            if has_room && matches!(notebooks.has_changed(), Ok(false)) {
                return notebooks.borrow().clone();
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        ask = asks.recv() => ask,
        notebook = still => Some(Ask::ahead(notebook)),
    }
}

struct Process {
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// What was read of the next frame.
    partial: Vec<u8>,
    crates: PathBuf,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    asked: u64,
}

impl Process {
    async fn start(program: Option<PathBuf>) -> Result<Self, String> {
        let prelude = tokio::task::spawn_blocking(Prelude::find).await;
        let prelude = prelude
            .map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
        let program = program.unwrap_or_else(|| prelude.folder.join(ANALYZER));
        let failed =
            |error: &dyn std::fmt::Display| format!("cannot start {}: {error}", program.display());
        let mut child = Command::new(&program)
            .arg(prelude.sysroot())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(&error))?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(&"no pipes"));
        };
        Ok(Self {
            _child: child,
            stdin,
            stdout,
            partial: Vec::new(),
            crates: prelude.folder.join(CRATES),
            waiting: HashMap::new(),
            asked: 0,
        })
    }

    /// Answers until the process ends, or nobody has asked for long; tells whether it answered anything.
    async fn answer(&mut self, first: Ask, asks: &mut mpsc::Receiver<Ask>) -> bool {
        let mut answered = false;
        let mut next = Some(first);
        loop {
            if let Some(ask) = next.take()
                && let Err(error) = self.send(ask).await
            {
                tracing::warn!("The analyzer is gone: {error}");
                return answered;
            }
            tokio::select! {
                ask = tokio::time::timeout(IDLE, asks.recv()) => match ask {
                    Ok(Some(ask)) => next = Some(ask),
                    Ok(None) | Err(_) => return true,
                },
                answer = self.receive() => match answer {
                    Ok(answer) => {
                        answered = true;
                        if let Some(asker) = self.waiting.remove(&answer.id) {
                            // The asker may have waited long enough.
                            let _ = asker.send(answer.reply);
                        }
                    }
                    Err(error) => {
                        tracing::warn!("The analyzer ended: {error}");
                        return answered;
                    }
                },
            }
        }
    }

    async fn send(&mut self, ask: Ask) -> std::io::Result<()> {
        self.asked += 1;
        let mut notebook = Arc::unwrap_or_clone(ask.notebook);
        notebook.crates.insert(0, self.crates.clone());
        let question = Question {
            id: self.asked,
            notebook,
            code: ask.code,
            offset: ask.offset,
            wish: ask.wish,
        };
        self.waiting.insert(self.asked, ask.reply);
        self.stdin.write_all(&encode(&question)?).await
    }

    /// Cancel-safe: what was read stays in the buffer.
    async fn receive(&mut self) -> std::io::Result<Answer> {
        loop {
            if let Some(answer) = take_frame(&mut self.partial) {
                return answer;
            }
            let mut chunk = vec![0; CHUNK];
            match self.stdout.read(&mut chunk).await? {
                0 => return Err(std::io::Error::other("it closed its stdout")),
                count => self.partial.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
