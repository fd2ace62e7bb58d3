//! The prepared installation that `make test` hands over: programs, Python environment, prebuilt crates.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, ensure};

/// What `make prepare` made.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Release programs.
    pub programs: PathBuf,
    /// State folder with `venv`, `prelude` and `skel`.
    pub prepared: PathBuf,
}

impl Installation {
    /// From `CARREL_TEST_BIN` and `CARREL_TEST_PREPARED`.
    pub fn find() -> anyhow::Result<Self> {
        Ok(Self {
            programs: folder("CARREL_TEST_BIN")?,
            prepared: folder("CARREL_TEST_PREPARED")?,
        })
    }

    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    /// A program of the Python environment.
    pub fn python(&self, name: &str) -> PathBuf {
        self.prepared.join("venv/bin").join(name)
    }

    /// `$PATH` with the Python environment first, as `make run` sets it.
    pub fn path(&self) -> anyhow::Result<OsString> {
        let rest = env::var_os("PATH").unwrap_or_default();
        let folders = [self.prepared.join("venv/bin")];
        env::join_paths(folders.into_iter().chain(env::split_paths(&rest)))
            .context("a folder of $PATH holds a colon")
    }
}

/// The checkout.
pub fn repository() -> PathBuf {
    carrel_skip::package_folder().join("..")
}

/// Where tests leave screenshots and logs for people.
pub fn output() -> anyhow::Result<PathBuf> {
    let folder = repository().join("test-output");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn folder(variable: &str) -> anyhow::Result<PathBuf> {
    let value = env::var_os(variable)
        .with_context(|| format!("${variable} is not set: run `make test`"))?;
    let path = PathBuf::from(value);
    ensure!(
        path.is_dir(),
        "${variable} names no folder: {}",
        path.display()
    );
    Ok(path)
}
