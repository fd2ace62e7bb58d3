//! What is left when a kernel is killed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use carrel_kernel::connection::ConnectionFile;
use carrel_kernel::wire::frames::Codec;
use carrel_kernel::wire::message::Session;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::json;
use zeromq::{SocketSend, ZmqMessage};

use crate::frontend::dealer;
use crate::notebook::LIMIT;

/// A kernel as Jupyter starts it.
struct Kernel(Child);

impl Drop for Kernel {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whoever reuses the name of a kernel finds its ports free.
#[tokio::test]
async fn programs_that_cells_started_end_with_a_kernel_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (prefix, pid) = (folder.path().join("kernel"), folder.path().join("pid"));
    let file = folder.path().join("connection.json");
    let connection = json!({
        "transport": "ipc", "ip": prefix, "key": "", "signature_scheme": "hmac-sha256",
        "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5,
    });
    fs::write(&file, connection.to_string()).unwrap();
    let program = env!("CARGO_BIN_EXE_carrel-kernel");
    let child = Command::new(program).arg("-f").arg(&file).spawn();
    let mut kernel = Kernel(child.unwrap());
    until(|| Path::new(&format!("{}-1", prefix.display())).exists()).await;
    let connection = ConnectionFile::read(&file).unwrap();
    let mut shell = dealer(&connection, connection.shell_port, "tab").await;
    let code = format!(
        "let mut child = std::process::Command::new(\"sleep\").arg(\"600\").spawn()?;
        std::fs::write({:?}, child.id().to_string())?;
        std::fs::rename({:?}, {pid:?})?;
        child.wait()?;",
        pid.with_extension("new"),
        pid.with_extension("new"),
    );
    let request = Session::default().message("execute_request", json!({}), json!({ "code": code }));
    let frames = Codec::new("", connection.signature_scheme).encode(&request);
    shell
        .send(ZmqMessage::try_from(frames).unwrap())
        .await
        .unwrap();
    until(|| pid.exists()).await;
    let sleep: i32 = fs::read_to_string(&pid).unwrap().parse().unwrap();
    kill(Pid::from_raw(sleep), None).unwrap();
    kernel.0.kill().unwrap();
    kernel.0.wait().unwrap();
    // Whoever adopts it may take a moment to see its end.
    let status = format!("/proc/{sleep}/status");
    until(|| fs::read_to_string(&status).map_or(true, |status| status.contains("State:\tZ"))).await;
}

async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.unwrap();
}
