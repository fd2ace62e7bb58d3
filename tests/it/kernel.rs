//! Jupyter's own conformance tests against the installed kernel.

use std::process::Command;

use anyhow::ensure;
use carrel_tests::installation::{Installation, repository};

#[test]
fn jupyter_kernel_test_passes() -> anyhow::Result<()> {
    let installation = Installation::find()?;
    let run = Command::new(installation.python("python"))
        .args(["-m", "unittest", "-v", "test_kernel"])
        .current_dir(repository().join("tests/kernel"))
        .output()?;
    let report = String::from_utf8_lossy(&run.stderr);
    println!("{report}");
    ensure!(run.status.success(), "{report}");
    Ok(())
}
