//! A hub process of a test, with a state folder and a log of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::installation::Installation;
use crate::wait_for;

/// A running hub; dropping it ends the hub and, through it, its servers.
pub struct Hub {
    installation: Installation,
    pub state: PathBuf,
    pub port: u16,
    log: PathBuf,
    process: Child,
}

impl Hub {
    /// Starts a hub on `state` with the lines of `configuration` and waits until it answers.
    pub async fn start(
        installation: &Installation,
        state: &Path,
        configuration: &str,
    ) -> anyhow::Result<Self> {
        let port = free_port()?;
        fs::write(state.join("carrel.yaml"), configuration)?;
        let log = state.join("hub.log");
        let process = launch(installation, state, port, &log)?;
        let hub = Self {
            installation: installation.clone(),
            state: state.to_owned(),
            port,
            log,
            process,
        };
        hub.answers().await?;
        Ok(hub)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `kill -9`, and a new hub on the same state and port.
    pub async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill().context("cannot kill the hub")?;
        let status = self.process.wait()?;
        anyhow::ensure!(
            status.signal() == Some(9),
            "the hub had ended before: {status}"
        );
        self.process = launch(&self.installation, &self.state, self.port, &self.log)?;
        self.answers().await
    }

    /// Ends the hub as Ctrl-C does, within 30 s.
    pub async fn interrupt(mut self) -> anyhow::Result<ExitStatus> {
        kill(
            Pid::from_raw(self.process.id().cast_signed()),
            Signal::SIGINT,
        )?;
        ended(&mut self.process).await
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let client = reqwest::Client::new();
        wait_for("the hub to answer", Duration::from_secs(30), || async {
            client
                .get(self.url("/hub/health"))
                .send()
                .await
                .ok()
                .filter(|reply| reply.status().is_success())
        })
        .await
        .map(drop)
        .with_context(|| self.log())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.process.id().cast_signed());
        if matches!(self.process.try_wait(), Ok(None)) && kill(pid, Signal::SIGTERM).is_ok() {
            // Bounded by the hub itself, which ends its servers first.
            let _ = self.process.wait();
        }
    }
}

/// Waits until `process` has ended, at most 30 s.
pub async fn ended(process: &mut Child) -> anyhow::Result<ExitStatus> {
    for _ in 0..600 {
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("process {} did not end in 30 s", process.id())
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Living processes whose command line or environment holds `text`, by `/proc`; zombies are not counted.
pub fn processes_with(text: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        })
        .filter(|entry| entry.file_name().to_string_lossy() != std::process::id().to_string())
        .filter_map(|entry| {
            let read = |name: &str| {
                String::from_utf8_lossy(&fs::read(entry.path().join(name)).unwrap_or_default())
                    .into_owned()
            };
            let command = read("cmdline").replace('\0', " ");
            let found = command.contains(text) || read("environ").contains(text);
            found.then(|| format!("{} {command}", entry.file_name().to_string_lossy()))
        })
        .collect()
}

fn launch(
    installation: &Installation,
    state: &Path,
    port: u16,
    log: &Path,
) -> anyhow::Result<Child> {
    let program = installation.program("carrel-hub");
    let output = File::options().create(true).append(true).open(log)?;
    Command::new(&program)
        .arg("serve")
        .arg("--state")
        .arg(state)
        .arg("--config")
        .arg(state.join("carrel.yaml"))
        .args(["--port", &port.to_string()])
        .env("PATH", installation.path()?)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}
