//! The REST API beside that of a stock JupyterHub: the same requests to both (`tests/jupyterhub`).

use std::process::Command;

use anyhow::ensure;
use carrel_tests::installation::{Installation, repository};

#[test]
fn requests_are_answered_as_by_jupyterhub() -> anyhow::Result<()> {
    run("compare.py")
}

#[test]
fn what_a_jupyterhub_wrote_is_imported() -> anyhow::Result<()> {
    run("moving.py")
}

fn run(script: &str) -> anyhow::Result<()> {
    let installation = Installation::find()?;
    let run = Command::new(installation.python("python"))
        .arg(script)
        .arg(installation.program("carrel-hub"))
        .current_dir(repository().join("tests/jupyterhub"))
        .output()?;
    let report = String::from_utf8_lossy(&run.stdout);
    println!("{report}");
    ensure!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    Ok(())
}
