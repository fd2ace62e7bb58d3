//! The process that knows what could stand in a cell and what a name means: rust-analyzer over a crate made of the
//! notebook. It answers questions on stdin with frames on stdout, and ends with its stdin.

mod ahead;
mod completion;
mod description;
mod library;
mod notebook;
mod world;

use std::io::{self, Read, Write};
use std::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};

use anyhow::Context;
use carrel_protocol::analysis::{Answer, Question, Reply, Wish};
use carrel_protocol::{decode, encode, length};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use ra_ap_hir::attach_db;

use crate::world::World;

/// Types and macros nest deeply.
const STACK: usize = 256 << 20;
/// A program that makes the analyzer take more ends it, and not the machine; the kernel starts a new one.
const MOST_MEMORY: u64 = 4 << 30;
/// Cells and their compiler go first; a person waits for this too.
const NICENESS: i32 = 5;

/// `carrel-analyzer SYSROOT`
fn main() -> anyhow::Result<()> {
    let sysroot = std::env::args_os().nth(1);
    let sysroot = PathBuf::from(sysroot.context("usage: carrel-analyzer SYSROOT")?);
    set_pdeathsig(Signal::SIGKILL).context("cannot bind this process to the kernel's life")?;
    setrlimit(Resource::RLIMIT_DATA, MOST_MEMORY, MOST_MEMORY).context("cannot bound memory")?;
    if let Err(error) = rustix::process::nice(NICENESS) {
        eprintln!("carrel-analyzer: cannot lower the priority: {error}");
    }
    // Of all processes of a notebook, this one is missed the least.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "500") {
        eprintln!("carrel-analyzer: cannot offer itself to the OOM killer: {error}");
    }
    let (questions, received) = mpsc::channel();
    std::thread::Builder::new()
        .name("analyze".to_owned())
        .stack_size(STACK)
        .spawn(move || answer_all(&sysroot, &received))
        .context("cannot start a thread")?;
    let mut stdin = io::stdin().lock();
    while let Some(question) = read(&mut stdin)? {
        questions.send(question).context("the analysis has ended")?;
    }
    Ok(())
}

/// The next question; none at the end of stdin.
fn read(stdin: &mut impl Read) -> anyhow::Result<Option<Question>> {
    let mut head = [0; 4];
    match stdin.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read.context("cannot read stdin")?,
    }
    let mut body = vec![0; length(head)?];
    stdin.read_exact(&mut body).context("a frame has no end")?;
    Ok(Some(decode(&body).context("a frame is no question")?))
}

fn answer_all(sysroot: &Path, questions: &Receiver<Question>) {
    let mut world = None;
    let mut waiting = Vec::new();
    while let Some(mut question) = next(questions, &mut waiting) {
        let id = question.id;
        let is_new = world
            .as_ref()
            .is_none_or(|world: &World| world.crates != question.notebook.crates);
        if is_new {
            world = Some(World::load(sysroot, &question.notebook.crates));
        }
        // rust-analyzer panics on some programs, and goes on well after it.
        let reply = catch_unwind(AssertUnwindSafe(|| {
            answer(world.as_mut()?, &question, is_new)
        }));
        let reply = reply.ok().flatten().unwrap_or(Reply::Nothing);
        send(&Answer { id, reply });
        if is_new {
            // What methods there are is found out with the first that is asked for.
            question.code = "\"\".".to_owned();
            question.offset = question.code.len();
            question.wish = Wish::Complete;
            let _ = catch_unwind(AssertUnwindSafe(|| {
                answer(world.as_mut()?, &question, false)
            }));
        }
    }
}

/// The next question to answer, a completion before an inspection. Whoever asks anew for the same does not wait for the
/// earlier answer.
fn next(questions: &Receiver<Question>, waiting: &mut Vec<Question>) -> Option<Question> {
    if waiting.is_empty() {
        waiting.push(questions.recv().ok()?);
    }
    while let Ok(newer) = questions.try_recv() {
        let kind = discriminant(&newer.wish);
        let is_older = |question: &Question| discriminant(&question.wish) == kind;
        if let Some(place) = waiting.iter().position(is_older) {
            send(&Answer {
                id: waiting.remove(place).id,
                reply: Reply::Nothing,
            });
        }
        waiting.push(newer);
    }
    let is_completion = |question: &Question| matches!(question.wish, Wish::Complete);
    let place = waiting.iter().position(is_completion).unwrap_or(0);
    Some(waiting.remove(place))
}

fn answer(world: &mut World, question: &Question, is_new: bool) -> Option<Reply> {
    let code = world.show(&question.notebook, &question.code);
    if is_new {
        ahead::read_ahead(&world.db);
    }
    attach_db(&world.db, || match question.wish {
        Wish::Complete => completion::complete(world, code, question),
        Wish::Inspect { detail } => description::describe(world, code, question, detail),
    })
}

fn send(answer: &Answer) {
    let sent = encode(answer).and_then(|frame| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&frame)?;
        stdout.flush()
    });
    if sent.is_err() {
        // The kernel is gone.
        std::process::exit(0);
    }
}
