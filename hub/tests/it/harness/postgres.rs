//! A PostgreSQL server of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use carrel_skip::{Need, skip};
use sqlx::{AnyConnection, Connection as _};
use tempfile::TempDir;

use super::apart::free_port;
use super::wait_for;

/// Ends with the test.
pub struct Postgres {
    pub url: String,
    server: Child,
    _folder: TempDir,
}

impl Postgres {
    /// Nothing where its programs are missing.
    pub async fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            skip(
                Need::Postgres,
                "initdb is not installed (Debian: postgresql)",
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        // It does not run as root.
        let as_root = nix::unistd::geteuid().is_root();
        if as_root {
            run(Command::new("chown").arg("postgres").arg(folder.path()));
        }
        let command = |program: &str| {
            let program = programs.join(program);
            if !as_root {
                return Command::new(program);
            }
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(program);
            command
        };
        let mut initdb = command("initdb");
        run(initdb
            .arg("-D")
            .arg(&data)
            .args(["-A", "trust", "-U", "carrel"]));
        let port = free_port();
        let server = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-k"])
            .arg(folder.path())
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("postgresql://carrel@127.0.0.1:{port}");
        sqlx::any::install_default_drivers();
        // It listens before it is ready.
        wait_for("PostgreSQL", || async {
            let connection = AnyConnection::connect(&format!("{url}/postgres")).await;
            connection.ok()?.close().await.ok()
        })
        .await;
        Some(Self {
            url,
            server,
            _folder: folder,
        })
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It ends its own processes with it, which SIGKILL would not.
        let server = nix::unistd::Pid::from_raw(self.server.id().cast_signed());
        let _ = nix::sys::signal::kill(server, nix::sys::signal::Signal::SIGQUIT);
        let _ = self.server.wait();
    }
}

/// Where Debian has them, or the first on the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = versions.flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = debian.chain(std::env::split_paths(&path));
    folders.find(|folder: &PathBuf| has_initdb(folder))
}

fn has_initdb(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
