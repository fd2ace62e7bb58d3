//! Installs the kernelspec that tells Jupyter how to start this kernel.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::paths::{set, user_data};
use crate::rust_engine::prebuilt::installation::VARIABLE;

/// Where programs look for the library of ONNX Runtime.
const ONNXRUNTIME: &str = "ORT_DYLIB_PATH";
/// What keeps ONNX Runtime (1.29 and later) from counting this machine for its makers; nobody was asked.
const NO_TELEMETRY: &str = "ORT_DISABLE_TELEMETRY";

const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-32x32.png", include_bytes!("../assets/logo-32x32.png")),
    ("logo-64x64.png", include_bytes!("../assets/logo-64x64.png")),
    ("logo-svg.svg", include_bytes!("../assets/logo-svg.svg")),
];

/// Where kernelspecs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    User,
    Prefix(PathBuf),
    SysPrefix,
}

#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("neither $JUPYTER_DATA_DIR nor a home folder is set; give --prefix DIR")]
    NoHome,
    #[error(
        "no Python environment is active ($VIRTUAL_ENV and $CONDA_PREFIX are not set); give --prefix DIR"
    )]
    NoEnvironment,
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot find the path of this program: {0}")]
    OwnPath(io::Error),
}

/// What a kernel is told in its environment, if it is not to look for it.
#[derive(Debug, Default)]
pub struct Told {
    /// The folder of prepared crates.
    pub prelude: Option<PathBuf>,
    /// The library of ONNX Runtime, for the servers of models that cells start.
    pub onnxruntime: Option<PathBuf>,
}

/// Writes the kernelspec `rust` and returns its folder.
pub fn install(location: &Location, told: &Told) -> Result<PathBuf, InstallError> {
    let program = env::current_exe().map_err(InstallError::OwnPath)?;
    let folder = jupyter_data(location)?.join("kernels").join("rust");
    fs::create_dir_all(&folder).map_err(|source| InstallError::Write {
        path: folder.clone(),
        source,
    })?;
    write(
        &folder,
        "kernel.json",
        kernel_json(&program, told).as_bytes(),
    )?;
    for (name, bytes) in LOGOS {
        write(&folder, name, bytes)?;
    }
    Ok(folder)
}

fn jupyter_data(location: &Location) -> Result<PathBuf, InstallError> {
    match location {
        Location::User => set("JUPYTER_DATA_DIR")
            .or_else(|| {
                if cfg!(target_os = "macos") {
                    Some(set("HOME")?.join("Library").join("Jupyter"))
                } else {
                    Some(user_data()?.join("jupyter"))
                }
            })
            .ok_or(InstallError::NoHome),
        Location::Prefix(prefix) => Ok(prefix.join("share").join("jupyter")),
        Location::SysPrefix => set("VIRTUAL_ENV")
            .or_else(|| set("CONDA_PREFIX"))
            .map(|prefix| prefix.join("share").join("jupyter"))
            .ok_or(InstallError::NoEnvironment),
    }
}

fn kernel_json(program: &Path, told: &Told) -> String {
    let mut spec = json!({
        "argv": [program.to_string_lossy(), "--connection-file", "{connection_file}"],
        "display_name": "Rust",
        "language": "rust",
        "interrupt_mode": "message",
        "metadata": { "debugger": false },
    });
    for (variable, path) in [(VARIABLE, &told.prelude), (ONNXRUNTIME, &told.onnxruntime)] {
        if let Some(path) = path {
            spec["env"][variable] = json!(path.to_string_lossy());
        }
    }
    spec["env"][NO_TELEMETRY] = json!("1");
    format!("{spec:#}\n")
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), InstallError> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(|source| InstallError::Write { path, source })
}
