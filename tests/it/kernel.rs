//! The installed kernel, spoken to by Jupyter's own clients: conformance, clients that behave badly, whole notebooks.

use std::process::Command;

use anyhow::ensure;
use carrel_tests::installation::{Installation, repository};

#[test]
fn jupyter_kernel_test_passes() -> anyhow::Result<()> {
    unittest("test_kernel")
}

#[test]
fn clients_over_libzmq_cannot_harm_the_kernel() -> anyhow::Result<()> {
    unittest("test_wire")
}

#[test]
fn nbclient_and_jupyter_console_run_rust() -> anyhow::Result<()> {
    unittest("test_notebook")
}

/// Runs a module of `tests/kernel`.
fn unittest(module: &str) -> anyhow::Result<()> {
    let installation = Installation::find()?;
    let run = Command::new(installation.python("python"))
        .args(["-m", "unittest", "-v", module])
        .current_dir(repository().join("tests/kernel"))
        .output()?;
    let report = String::from_utf8_lossy(&run.stderr);
    println!("{report}");
    ensure!(run.status.success(), "{report}");
    Ok(())
}
