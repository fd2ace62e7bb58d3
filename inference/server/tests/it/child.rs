//! A server that belongs to the program that started it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::networks::library;
use crate::server::doubling;

const PATIENCE: Duration = Duration::from_secs(30);

/// The program with a model `m` below `folder`, which goes with it, and the ports that it says.
async fn start(folder: &Path, library: &Path) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_carrel-model-server"))
        .args(["--address", "127.0.0.1", "--port", "0"])
        .args(["--rest-api-port", "0", "--model-name", "m"])
        .arg("--model-base-path")
        .arg(folder.join("versions"))
        .arg("--onnxruntime")
        .arg(library)
        .arg("--child")
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
    let line = line.unwrap().unwrap().unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_its_ports_and_ends_with_its_program() {
    let Some(library) = library() else { return };
    let folder = TempDir::new().unwrap();
    doubling(&folder.path().join("versions/1"));
    let (mut child, ports) = start(folder.path(), &library).await;
    let http = format!("http://127.0.0.1:{}", ports["http"]);
    let grpc = ports["grpc"].as_u64().unwrap();
    let port = u16::try_from(grpc).unwrap();
    tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let begun = std::time::Instant::now();
    let said = loop {
        let asked = reqwest::Client::new().post(format!("{http}/v1/models/m:predict"));
        let body = json!({"instances": [[1, 2]]}).to_string();
        let answer = asked.body(body).send().await.unwrap();
        if answer.status() == 200 {
            break answer.json::<Value>().await.unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(said, json!({"predictions": [[2.0, 4.0]]}));
    // As the end of the program does, however it comes.
    drop(child.stdin.take());
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    assert!(ended.unwrap().unwrap().success());
    assert!(!folder.path().exists());
}
