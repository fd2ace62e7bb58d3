//! Ranks of `carrel-train` as child processes, and small data for them.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

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
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// One rank of several, with its output kept.
pub fn rank(rank: usize, world: usize, port: u16, arguments: &[&str]) -> Child {
    Command::new(PROGRAM)
        .args(arguments)
        .env("RANK", rank.to_string())
        .env("WORLD_SIZE", world.to_string())
        .env("MASTER_ADDR", "localhost")
        .env("MASTER_PORT", port.to_string())
        .env("CARREL_JOB_SECRET", "secret")
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits, with a bound, for `condition`.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT;
    while !condition() {
        assert!(Instant::now() < end, "waited {WAIT:?} for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The output of a rank that ends by itself.
pub fn ended(mut child: Child) -> Output {
    wait_for("a rank's end", || child.try_wait().unwrap().is_some());
    child.wait_with_output().unwrap()
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
