//! The program itself: its start, its end, and what it says of a wrong configuration.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::limits::{PRODUCTS, products, zeros};
use crate::networks::library;
use crate::server::doubling;

const PATIENCE: Duration = Duration::from_secs(30);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carrel-model-server"));
    command.args([
        "--address",
        "127.0.0.1",
        "--port",
        "0",
        "--rest-api-port",
        "0",
    ]);
    command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The program with a model `m` and the address of its HTTP, once it is ready.
pub async fn start(base: &Path, library: &Path) -> (Child, String) {
    let mut command = program();
    command
        .args(["--model_name=m", "--model_base_path"])
        .arg(base);
    command.arg("--onnxruntime").arg(library);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = tokio::time::timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, rest)) = line.split_once("Listening at ") {
                return rest.split_once(' ').unwrap().0.to_owned();
            }
        }
        panic!("it did not say where it listens");
    });
    let address = format!("http://{}", address.await.unwrap());
    // So that it never waits for somebody to read.
    tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
    let ready = async {
        loop {
            let asked = reqwest::get(format!("{address}/v2/models/m/ready")).await;
            if asked.is_ok_and(|answer| answer.status() == StatusCode::OK) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.unwrap();
    (child, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_until_it_is_ended_and_again_after_it_was_killed() {
    let Some(library) = library() else { return };
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        let (mut child, address) = start(base.path(), &library).await;
        let body = json!({"instances": [[1, 2]]}).to_string();
        let client = reqwest::Client::new();
        let asked = client
            .post(format!("{address}/v1/models/m:predict"))
            .body(body);
        let said: serde_json::Value = asked.send().await.unwrap().json().await.unwrap();
        assert_eq!(said, json!({"predictions": [[2.0, 4.0]]}));
        let id = i32::try_from(child.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
        // The client's connection is idle and still open: that does not keep the server.
        let ended = tokio::time::timeout(PATIENCE, child.wait())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            ended.success(),
            signal != Signal::SIGKILL,
            "{signal}: {ended}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_runs_is_answered_before_it_ends() {
    let Some(library) = library() else { return };
    let base = TempDir::new().unwrap();
    products(base.path(), PRODUCTS);
    let (mut child, address) = start(base.path(), &library).await;
    let asked = reqwest::Client::new().post(format!("{address}/v2/models/m/infer"));
    let asked = tokio::spawn(asked.body(zeros().to_string()).send());
    let begun = async {
        loop {
            let said = reqwest::get(format!("{address}/v2/models/m/stats"))
                .await
                .unwrap();
            let said: serde_json::Value = said.json().await.unwrap();
            if said["model_stats"][0]["execution_count"] == 1 {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    assert_eq!(asked.await.unwrap().unwrap().status(), StatusCode::OK);
    let ended = tokio::time::timeout(PATIENCE, child.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(ended.success(), "{ended}");
}

/// Each line of its log goes to the file.
fn logging(command: &mut Command, folder: &Path) -> Child {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    command.stderr(log).spawn().unwrap()
}

/// Waits for what the log has then.
async fn until(folder: &Path, mut wanted: impl FnMut(&str) -> bool) -> String {
    let reached = async {
        loop {
            let log = std::fs::read_to_string(folder.join("log")).unwrap();
            if wanted(&log) {
                return log;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_while_a_model_loads_without_an_end() {
    let Some(library) = library() else { return };
    let (base, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let version = base.path().join("1");
    std::fs::create_dir(&version).unwrap();
    // Nobody ever writes to it, so that opening it takes for ever.
    let pipe = version.join("model.onnx");
    let made = Command::new("mkfifo").arg(&pipe).status().await.unwrap();
    assert!(made.success());
    let mut command = program();
    command.args(["--model_name=m", "--model_base_path"]);
    command.arg(base.path()).arg("--onnxruntime").arg(library);
    let mut child = logging(&mut command, folder.path());
    let log = until(folder.path(), |log| log.contains("Listening at ")).await;
    let (_, rest) = log.split_once("Listening at ").unwrap();
    let index = format!(
        "http://{}/v2/repository/index",
        rest.split_once(' ').unwrap().0
    );
    let loading = async {
        loop {
            let asked = reqwest::Client::new().post(&index).body("{}").send();
            let said: serde_json::Value = asked.await.unwrap().json().await.unwrap();
            if said[0]["state"] == "LOADING" {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, loading).await.unwrap();
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGTERM).unwrap();
    let ended = tokio::time::timeout(PATIENCE, child.wait()).await;
    let ended = ended.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
}

/// ONNX Runtime keeps a number for the machine and a database of what it will tell its makers.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_to_be_told_to_anybody() {
    let Some(library) = library() else { return };
    let (base, home) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    doubling(&base.path().join("1"));
    let mut command = program();
    command.args(["--model_name=m", "--model_base_path"]);
    command.arg(base.path()).arg("--onnxruntime").arg(library);
    command
        .env("HOME", home.path())
        .env_remove("XDG_CACHE_HOME");
    let log = TempDir::new().unwrap();
    let _child = logging(&mut command, log.path());
    until(log.path(), |log| log.contains("The model m 1 is loaded")).await;
    let kept: Vec<_> = std::fs::read_dir(home.path()).unwrap().collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_missing_is_told_once() {
    let Some(library) = library() else { return };
    let folder = TempDir::new().unwrap();
    let (base, gone) = (folder.path().join("m"), folder.path().join("gone"));
    doubling(&base.join("1"));
    let model = |name: &str, base: &Path| json!({"name": name, "base_path": base});
    let models = json!({"models": [model("m", &base), model("gone", &gone)]});
    let file = folder.path().join("models.yaml");
    std::fs::write(&file, models.to_string()).unwrap();
    let mut command = program();
    command.args([
        "--file-system-poll-wait-seconds",
        "1",
        "--model_config_file",
    ]);
    command.arg(file).arg("--onnxruntime").arg(library);
    let _child = logging(&mut command, folder.path());
    let told = |log: &str| log.matches("Could not read").count();
    // Each of these was found by another look at all folders.
    for version in 1..=4 {
        doubling_of(&base, version);
        let loaded = format!("The model m {version} is loaded");
        let log = until(folder.path(), |log| log.contains(&loaded)).await;
        assert!(told(&log) <= 1, "{log}");
    }
    doubling(&gone.join("1"));
    let log = until(folder.path(), |log| {
        log.contains("The model gone 1 is loaded")
    })
    .await;
    assert_eq!(told(&log), 1, "{log}");
    std::fs::remove_dir_all(&gone).unwrap();
    until(folder.path(), |log| told(log) == 2).await;
}

fn doubling_of(base: &Path, version: usize) {
    let folder = base.join(version.to_string());
    if !folder.exists() {
        doubling(&folder);
    }
}

#[tokio::test]
async fn a_wrong_configuration_ends_it_with_the_reason() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("models.yaml");
    let cases = [
        ("models: [{name: a}]", "base_path"),
        (
            "models: [{name: a/b, base_path: /a}]",
            r#"the model "a/b" has a name with other characters"#,
        ),
        (
            "models: [{name: a, base_path: /a}, {name: a, base_path: /b}]",
            r#"the model "a" is there twice"#,
        ),
        (
            "models: [{name: a, base_path: /a, versions: 3}]",
            "versions",
        ),
        (
            "models: [{name: a, base_path: /a, batching: {max_size: 0, max_delay_us: 1}}]",
            "have no rows",
        ),
    ];
    for (text, why) in cases {
        std::fs::write(&file, text).unwrap();
        let ended = program().arg("--model_config_file").arg(&file).output();
        let ended = tokio::time::timeout(PATIENCE, ended)
            .await
            .unwrap()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(
            !ended.status.success() && said.contains(why),
            "{text}: {said}"
        );
        assert!(said.contains("models.yaml is wrong"), "{said}");
    }
}
