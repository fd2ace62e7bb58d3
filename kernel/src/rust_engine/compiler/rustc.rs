//! The compiler as a process that is started before there is a cell, for starting it takes as long as half a small
//! cell does. It waits for its arguments on stdin: `@/dev/stdin` names a file with one argument a line.

use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// Has jemalloc, which rustc allocates with, give back no memory and share it among the compiler's threads: a small cell
/// spends a tenth of its time on page faults. Huge pages take as long to clear, and longer where memory is in pieces.
const ALLOCATOR: (&str, &str) = ("MALLOC_CONF", "narenas:1,dirty_decay_ms:-1");

#[derive(Debug)]
pub struct Rustc {
    pub program: PathBuf,
    folder: PathBuf,
    waiting: Arc<Mutex<Option<Child>>>,
    /// Variables that a person has set for the compiler.
    environment: BTreeMap<String, String>,
    /// There is a processor for the next one while this one runs.
    beside: bool,
}

impl Rustc {
    /// A compiler that works in `folder`.
    pub fn new(program: PathBuf, folder: PathBuf) -> Self {
        Self {
            program,
            folder,
            waiting: Arc::default(),
            environment: BTreeMap::new(),
            beside: std::thread::available_parallelism().is_ok_and(|count| count.get() > 1),
        }
    }

    /// Sets a variable for the compilers that start from here on.
    pub fn set(&mut self, name: String, value: String) {
        self.environment.insert(name, value);
        // It was started without.
        *lock(&self.waiting) = None;
    }

    /// Runs the compiler to its end, and starts the next one. Dropping the future kills it.
    pub async fn run(&self, arguments: &[OsString]) -> io::Result<Output> {
        let waiting = lock(&self.waiting).take();
        if self.beside {
            self.start_ahead();
        }
        let child = match (waiting, lines(arguments)) {
            (Some(child), Some(lines)) => match tell(child, &lines).await {
                Ok(child) => child,
                // Somebody ended it meanwhile.
                Err(_) => self.command(arguments).spawn()?,
            },
            _ => self.command(arguments).spawn()?,
        };
        let output = child.wait_with_output().await;
        if !self.beside {
            self.start_ahead();
        }
        output
    }

    fn start_ahead(&self) {
        let mut command = self.command(["@/dev/stdin"]);
        let waiting = Arc::clone(&self.waiting);
        tokio::task::spawn_blocking(move || {
            // What is wrong is told when it runs.
            *lock(&waiting) = command.spawn().ok();
        });
    }

    fn command(&self, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
        let mut command = Command::new(&self.program);
        if std::env::var_os(ALLOCATOR.0).is_none() {
            command.env(ALLOCATOR.0, ALLOCATOR.1);
        }
        command
            .args(arguments)
            .envs(&self.environment)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

fn lock(waiting: &Mutex<Option<Child>>) -> MutexGuard<'_, Option<Child>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn tell(mut child: Child, lines: &str) -> io::Result<Child> {
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes()).await?;
    }
    Ok(child)
}

/// The arguments as the compiler reads them; none if one of them cannot be written so.
fn lines(arguments: &[OsString]) -> Option<String> {
    let mut lines = String::new();
    for argument in arguments {
        let argument = argument.to_str()?;
        if argument.contains(['\n', '\r']) {
            return None;
        }
        lines.push_str(argument);
        lines.push('\n');
    }
    Some(lines)
}

/// An argument that ends with a path, which need not be text.
pub fn joined(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

/// Names of the crates whose files lie in a folder, as `libNAME-HASH.rmeta`.
pub fn crate_names(folder: &Path) -> std::io::Result<HashSet<String>> {
    let mut names = HashSet::new();
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.file_name();
        let file = file.to_string_lossy();
        let name = file
            .strip_prefix("lib")
            .and_then(|file| file.split('-').next());
        names.extend(name.map(str::to_owned));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::Rustc;

    #[tokio::test]
    async fn a_process_that_waits_takes_the_next_arguments_and_only_those() {
        let folder = tempfile::tempdir().unwrap();
        let rustc = Rustc::new("rustc".into(), folder.path().to_owned());
        rustc.start_ahead();
        for argument in ["--version", "--print=sysroot"] {
            let output = rustc.run(&[argument.into()]).await.unwrap();
            let plain = std::process::Command::new("rustc").arg(argument).output();
            assert_eq!(output.stdout, plain.unwrap().stdout);
        }
    }
}
