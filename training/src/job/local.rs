//! Jobs as processes on this machine: one `carrel-train run FOLDER` for each rank.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use carrel_ranks::free_port;
use carrel_report::{
    JOB_VARIABLE, MODEL_URL_VARIABLE, OBJECTS_URL_VARIABLE, RESULT_URL_VARIABLE, URL_VARIABLE,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::{
    JobError, JobFolder, RankState, RankStatus, SECRET_VARIABLE, THREADS_VARIABLE, Work, function,
    io_error, status,
};
use crate::programs;

const PROGRAM: &str = "carrel-train";
const PROCESSES: &str = "processes.json";

/// A process as it can be told from a later one with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    id: i32,
    /// Ticks since the machine started, field 22 of /proc/ID/stat.
    started: u64,
}

/// Starts all ranks, or none.
pub(super) fn start(job: &JobFolder) -> Result<(), JobError> {
    let program = program(job)?;
    let path = job.path().join(PROCESSES);
    let mut children: Vec<Child> = Vec::new();
    let started = start_ranks(job, &program, &mut children).and_then(|()| {
        let processes: Vec<Option<Process>> = children.iter().map(process_of).collect();
        let json = serde_json::to_vec(&processes).map_err(|source| JobError::Json {
            path: path.clone(),
            source,
        })?;
        status::replace(&path, &json).map_err(io_error(&path))
    });
    if started.is_err() {
        for child in &mut children {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        return started;
    }
    for (rank, mut child) in children.into_iter().enumerate() {
        let path = job.status_file(rank);
        // Takes the exit status, which only the parent is told.
        thread::spawn(move || {
            if let Ok(exit) = child.wait() {
                told_by_exit(&path, exit);
            }
        });
    }
    Ok(())
}

fn start_ranks(job: &JobFolder, program: &Path, children: &mut Vec<Child>) -> Result<(), JobError> {
    let port = free_port().map_err(io_error(program))?;
    let world = job.description().ranks;
    let secret = uuid::Uuid::new_v4().simple().to_string();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    for rank in 0..world {
        let log = job.log_file(rank);
        let out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(io_error(&log))?;
        let errors = out.try_clone().map_err(io_error(&log))?;
        let status = job.status_file(rank);
        status::tell(&status, RankState::Starting, None).map_err(io_error(&status))?;
        let child = Command::new(program)
            .arg(match job.description().work {
                Work::Recipe(_) => "run",
                Work::Function(_) => function::ARGUMENT,
            })
            .arg(job.path())
            .env("RANK", rank.to_string())
            .env("WORLD_SIZE", world.to_string())
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", port.to_string())
            .env(SECRET_VARIABLE, &secret)
            // This process may be a rank itself, of somebody else's job.
            .env_remove(URL_VARIABLE)
            .env_remove(MODEL_URL_VARIABLE)
            .env_remove(OBJECTS_URL_VARIABLE)
            .env_remove(RESULT_URL_VARIABLE)
            .env_remove(JOB_VARIABLE)
            .env(THREADS_VARIABLE, (cores / world).max(1).to_string())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            // An interrupt of the kernel is none of the job's.
            .process_group(0)
            .spawn()
            .map_err(io_error(program))?;
        children.push(child);
    }
    Ok(())
}

/// What the rank says, unless its process has ended without a last word.
pub(super) fn rank_status(job: &JobFolder, rank: usize) -> RankStatus {
    let path = job.status_file(rank);
    let before = status::read(&path);
    if before.state.is_final() {
        return before;
    }
    let alive = processes(job)
        .get(rank)
        .copied()
        .flatten()
        .is_some_and(is_alive);
    // It may have ended between the two looks.
    let mut now = status::read(&path);
    if !alive && !now.state.is_final() {
        now.state = RankState::Failed;
        now.reason = Some("its process ended without a word, as when it is killed".to_owned());
    }
    now
}

/// SIGTERM to every rank that runs.
pub(super) fn terminate(job: &JobFolder) {
    for process in processes(job)
        .into_iter()
        .flatten()
        .filter(|process| is_alive(*process))
    {
        // Who has ended meanwhile needs none.
        let _ = kill(Pid::from_raw(process.id), Signal::SIGTERM);
    }
}

fn processes(job: &JobFolder) -> Vec<Option<Process>> {
    let bytes = fs::read(job.path().join(PROCESSES)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

fn told_by_exit(path: &Path, exit: ExitStatus) {
    if status::read(path).state.is_final() {
        return;
    }
    let reason = match (exit.signal(), exit.code()) {
        (Some(signal), _) => {
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |s| s.to_string());
            format!("its process was ended by {name}")
        }
        (None, code) => format!("its process ended with status {}", code.unwrap_or(-1)),
    };
    if let Err(error) = status::tell(path, RankState::Failed, Some(reason)) {
        eprintln!("cannot write {}: {error}", path.display());
    }
}

fn process_of(child: &Child) -> Option<Process> {
    let id = i32::try_from(child.id()).ok()?;
    Some(Process {
        id,
        started: stat(id)?.1,
    })
}

fn is_alive(process: Process) -> bool {
    stat(process.id).is_some_and(|(state, started)| state != 'Z' && started == process.started)
}

/// State and start of a process.
fn stat(id: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name in parentheses may hold spaces; the state, field 3, comes after it.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// This one for a function; for a recipe the one that was named, else beside the running program, else on the path.
fn program(job: &JobFolder) -> Result<PathBuf, JobError> {
    let own = env::current_exe().map_err(io_error(Path::new("/proc/self/exe")))?;
    if let Work::Function(_) = job.description().work {
        return match function::runs_functions() {
            true => Ok(own),
            false => Err(JobError::NoFunctions),
        };
    }
    if let Some(program) = &job.program {
        File::open(program).map_err(io_error(program))?;
        return Ok(program.clone());
    }
    programs::find(PROGRAM).ok_or(JobError::NoProgram { beside: own })
}
