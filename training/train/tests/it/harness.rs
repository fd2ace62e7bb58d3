//! Ranks of `carrel-train` as child processes, and small data for them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_carrel-train");
const WAIT: Duration = Duration::from_secs(90);

/// The four files of MNIST, with pictures from which the digit can be learnt: a bar at its place.
pub fn write_digits(folder: &Path, count: usize) {
    for (name, count) in [("train", count), ("t10k", 100)] {
        let size = u32::try_from(count).unwrap().to_be_bytes();
        let mut pictures =
            fs::File::create(folder.join(format!("{name}-images-idx3-ubyte"))).unwrap();
        pictures
            .write_all(&[&[0, 0, 8, 3][..], &size, &[0, 0, 0, 28, 0, 0, 0, 28]].concat())
            .unwrap();
        for item in 0..count {
            let picture: Vec<u8> = (0..784)
                .map(|at| {
                    if at / 28 / 2 == item % 10 + 2 {
                        255
                    } else {
                        (at * item % 31) as u8
                    }
                })
                .collect();
            pictures.write_all(&picture).unwrap();
        }
        let labels: Vec<u8> = (0..count).map(|item| (item % 10) as u8).collect();
        fs::write(
            folder.join(format!("{name}-labels-idx1-ubyte")),
            [&[0, 0, 8, 1][..], &size, &labels].concat(),
        )
        .unwrap();
    }
}

pub fn free_port() -> u16 {
    carrel_training::ranks::free_port().unwrap()
}

/// One rank of several, with its output kept.
pub fn rank(rank: usize, world: usize, port: u16, arguments: &[&str]) -> Child {
    rank_with(rank, world, port, arguments, &[])
}

/// The same, with more variables.
pub fn rank_with(
    rank: usize,
    world: usize,
    port: u16,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Child {
    rank_of(PROGRAM.as_ref(), rank, world, port, arguments, variables)
}

/// The same, of another build of the program.
pub fn rank_of(
    program: &Path,
    rank: usize,
    world: usize,
    port: u16,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Child {
    let mut command = command(program, arguments);
    command
        .env("RANK", rank.to_string())
        .env("WORLD_SIZE", world.to_string())
        .env("MASTER_ADDR", "localhost")
        .env("MASTER_PORT", port.to_string())
        .envs(variables.iter().copied());
    command.spawn().unwrap()
}

/// A task on one thread, with the job's secret, whose output is kept.
fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("CARREL_JOB_SECRET", "secret")
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A cluster of a TFJob on this machine: a master, a worker and two parameter servers.
pub struct Cluster {
    port: u16,
}

impl Cluster {
    pub fn new() -> Self {
        Self { port: free_port() }
    }

    /// A task of it, with its output kept.
    pub fn task(&self, kind: &str, index: usize, arguments: &[&str]) -> Child {
        let port = self.port;
        let config = format!(
            r#"{{"cluster":{{"master":["localhost:{port}"],"worker":["localhost:1"],"ps":["localhost:2","localhost:3"]}},"task":{{"type":"{kind}","index":{index}}}}}"#
        );
        let mut command = command(PROGRAM.as_ref(), arguments);
        command.env("TF_CONFIG", config).spawn().unwrap()
    }

    /// All four: master, worker and the parameter servers.
    pub fn all(&self, arguments: &[&str]) -> Vec<Child> {
        let tasks = [("master", 0), ("worker", 0), ("ps", 0), ("ps", 1)];
        tasks
            .map(|(kind, index)| self.task(kind, index, arguments))
            .into()
    }
}

/// Waits, with a bound, for `condition`.
pub fn wait_for(what: &str, condition: impl FnMut() -> bool) {
    wait_within(WAIT, what, condition);
}

fn wait_within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "waited {limit:?} for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The output of a rank that ends by itself.
pub fn ended(child: Child) -> Output {
    ended_within(WAIT, child)
}

pub fn ended_within(limit: Duration, mut child: Child) -> Output {
    let has_ended = || child.try_wait().unwrap().is_some();
    wait_within(limit, "a rank's end", has_ended);
    child.wait_with_output().unwrap()
}

pub fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Arguments of a job over the digits of a folder.
pub fn mnist<'a>(
    data: &'a Path,
    epochs: &'a str,
    checkpoints: &'a Path,
    more: &[&'a str],
) -> Vec<&'a str> {
    let (data, checkpoints) = (data.to_str().unwrap(), checkpoints.to_str().unwrap());
    let mut arguments = vec!["mnist", "--data", data, "--epochs", epochs];
    arguments.extend(["--checkpoints", checkpoints]);
    arguments.extend(more);
    arguments
}

/// The lines of a rank's epochs.
pub fn epochs(rank: usize, output: &str) -> Vec<String> {
    let begin = format!("Rank  {rank} , epoch  ");
    output
        .lines()
        .filter(|line| line.starts_with(&begin))
        .map(str::to_owned)
        .collect()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many finished checkpoints a folder holds.
pub fn checkpoints(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .path()
                .extension()
                .is_none_or(|ext| ext != "unfinished")
        })
        .count()
}
