//! `make run` on a machine where nothing is built: what serves first, and what comes later.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use carrel_tests::hub::{ended, free_port};
use carrel_tests::installation::{Installation, repository};
use carrel_tests::wait_for;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// In place of cargo, whose work takes minutes: what a package is built to lies in $BUILT; what is for completion and for
/// served models waits until there is the file $GATE.
const CARGO: &str = r#"#!/bin/sh
set -e
mkdir -p "$CARGO_TARGET_DIR/release"
for argument; do
  case $argument in
    --package=carrel-analyzer | --package=carrel-model-server)
      echo "   Compiling ${argument#--package=}" >&2
      while [ ! -e "$GATE" ]; do sleep 0.1; done ;;
    --package=*) ;;
    *) continue ;;
  esac
  ln -sf "$BUILT/${argument#--package=}" "$BUILT/libcarrel_prelude.so" "$BUILT/libcarrel_runtime.so" "$BUILT/deps" \
    "$CARGO_TARGET_DIR/release/"
done
"#;
const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_hub_serves_while_completion_is_built() -> anyhow::Result<()> {
    let installation = Installation::find()?;
    let scratch = tempfile::tempdir()?;
    let (state, gate) = (scratch.path().join("state"), scratch.path().join("gate"));
    let cargo = scratch.path().join("bin/cargo");
    fs::create_dir_all(scratch.path().join("bin"))?;
    fs::write(&cargo, CARGO)?;
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))?;
    python_of(&installation, &state)?;
    let log = scratch.path().join("log");
    let file = fs::File::create(&log)?;
    let port = free_port()?;
    let path = std::env::var("PATH")?;
    let bin = scratch.path().join("bin");
    let mut run = Command::new("deploy/local/run")
        .current_dir(repository())
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("CARGO_TARGET_DIR", scratch.path().join("target"))
        .env("BUILT", &installation.programs)
        .env("GATE", &gate)
        .env("STATE", &state)
        .env("PORT", port.to_string())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()?;
    let said = || fs::read_to_string(&log).unwrap_or_default();
    let analyzer = state.join("prelude/carrel-analyzer");
    let walked = async {
        let login = format!("http://127.0.0.1:{port}/hub/login");
        wait_for("the login page", LIMIT, || async {
            reqwest::get(&login).await.ok()?.error_for_status().ok()
        })
        .await?;
        anyhow::ensure!(!analyzer.exists(), "it was built already");
        anyhow::ensure!(said().contains("while the Hub serves"), "nobody is told");
        fs::write(&gate, "")?;
        let both_are_there = || async {
            let programs =
                analyzer.is_file() && state.join("prelude/carrel-model-server").is_file();
            (programs && said().contains("the model server are there")).then_some(())
        };
        wait_for("completion", LIMIT, both_are_there).await
    }
    .await;
    killpg(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT)?;
    ended(&mut run).await?;
    walked.map_err(|error: anyhow::Error| error.context(said()))
}

/// The Python environment and ONNX Runtime of the tests, but with kernelspecs of its own.
fn python_of(installation: &Installation, state: &Path) -> anyhow::Result<()> {
    let prepared = &installation.prepared;
    fs::create_dir_all(state.join("venv"))?;
    for name in ["bin", "lib", ".requirements"] {
        let name = Path::new("venv").join(name);
        symlink(prepared.join(&name), state.join(&name))?;
    }
    Ok(symlink(
        prepared.join("onnxruntime"),
        state.join("onnxruntime"),
    )?)
}
