//! Installs the kernelspec that tells Jupyter how to start this kernel.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::paths::{set, user_data};
use crate::rust_engine::prebuilt::installation::{KERNEL, VARIABLE};

/// What the kernel is called where nobody says otherwise.
pub const NAME: &str = "rust";
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
    #[error(
        "{} starts {program}: give --name NAME to install beside it, or --force to put Carrel in its place", folder.display()
    )]
    Foreign { folder: PathBuf, program: String },
}

/// What Jupyter calls the kernel.
#[derive(Debug, Clone)]
pub struct Name {
    /// Of its folder, as in `jupyter console --kernel NAME`.
    pub name: String,
    /// Whether a kernelspec of the name that starts another program is replaced.
    pub replace: bool,
}

/// What a kernel is told in its environment, if it is not to look for it.
#[derive(Debug, Default)]
pub struct Told {
    /// The folder of prepared crates.
    pub prelude: Option<PathBuf>,
    /// The library of ONNX Runtime, for the servers of models that cells start.
    pub onnxruntime: Option<PathBuf>,
}

/// A name as `jupyter_client` takes it (`_is_valid_kernel_name`).
pub fn name(name: &str) -> Result<String, String> {
    let is_taken = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    match !name.is_empty() && name.chars().all(is_taken) {
        true => Ok(name.to_owned()),
        false => Err("Jupyter takes letters, digits, `.`, `_` and `-`".to_owned()),
    }
}

/// Writes the kernelspec and returns its folder.
pub fn install(name: &Name, location: &Location, told: &Told) -> Result<PathBuf, InstallError> {
    let program = program(told)?;
    let folder = jupyter_data(location)?.join("kernels").join(&name.name);
    if let Some(program) = foreign(&folder).filter(|_| !name.replace) {
        return Err(InstallError::Foreign { folder, program });
    }
    fs::create_dir_all(&folder).map_err(|source| InstallError::Write {
        path: folder.clone(),
        source,
    })?;
    let spec = kernel_json(&name.name, &program, told);
    write(&folder, "kernel.json", spec.as_bytes())?;
    for (name, bytes) in LOGOS {
        write(&folder, name, bytes)?;
    }
    Ok(folder)
}

/// The kernel beside its crates: that of a build goes with `cargo clean`.
fn program(told: &Told) -> Result<PathBuf, InstallError> {
    let beside = told.prelude.as_ref().map(|folder| folder.join(KERNEL));
    match beside.filter(|program| program.is_file()) {
        Some(program) => Ok(program),
        None => env::current_exe().map_err(InstallError::OwnPath),
    }
}

/// The program that a kernelspec starts, if it is not this one; evcxr's kernel is called `rust` too.
fn foreign(folder: &Path) -> Option<String> {
    let text = fs::read(folder.join("kernel.json")).ok()?;
    let spec: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let program = spec["argv"][0].as_str()?;
    let is_own = Path::new(program).file_name() == Some(KERNEL.as_ref());
    (!is_own).then(|| program.to_owned())
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

fn kernel_json(name: &str, program: &Path, told: &Told) -> String {
    let display = if name == NAME {
        "Rust"
    } else {
        "Rust (Carrel)"
    };
    let mut spec = json!({
        "argv": [program.to_string_lossy(), "--connection-file", "{connection_file}"],
        "display_name": display,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_program_s_kernel_is_left_alone() {
        let prefix = tempfile::tempdir().unwrap();
        let location = Location::Prefix(prefix.path().to_owned());
        let folder = prefix.path().join("share/jupyter/kernels/rust");
        fs::create_dir_all(&folder).unwrap();
        let spec = "{\"argv\": [\"/home/ada/.cargo/bin/evcxr_jupyter\", \"--control_file\"]}";
        fs::write(folder.join("kernel.json"), spec).unwrap();
        let named = |name: &str, replace| Name {
            name: name.to_owned(),
            replace,
        };
        let install = |name| install(&name, &location, &Told::default());
        let refused = install(named(NAME, false)).unwrap_err().to_string();
        assert!(
            refused.contains("starts /home/ada/.cargo/bin/evcxr_jupyter"),
            "{refused}"
        );
        assert_eq!(
            fs::read_to_string(folder.join("kernel.json")).unwrap(),
            spec
        );
        let beside = install(named("carrel", false)).unwrap();
        let text = fs::read_to_string(beside.join("kernel.json")).unwrap();
        assert!(text.contains("Rust (Carrel)"), "{text}");
        assert_eq!(install(named(NAME, true)).unwrap(), folder);
    }

    #[test]
    fn the_program_beside_the_crates_is_started() {
        let scratch = tempfile::tempdir().unwrap();
        let prelude = scratch.path().join("prelude");
        let location = Location::Prefix(scratch.path().to_owned());
        fs::create_dir(&prelude).unwrap();
        fs::write(prelude.join(KERNEL), "").unwrap();
        let told = Told {
            prelude: Some(prelude.clone()),
            onnxruntime: None,
        };
        let name = Name {
            name: NAME.to_owned(),
            replace: false,
        };
        for _ in 0..2 {
            let folder = install(&name, &location, &told).unwrap();
            let spec = fs::read(folder.join("kernel.json")).unwrap();
            let spec: serde_json::Value = serde_json::from_slice(&spec).unwrap();
            let program = prelude.join(KERNEL);
            assert_eq!(spec["argv"][0], program.to_str().unwrap());
            assert_eq!(spec["env"][VARIABLE], prelude.to_str().unwrap());
        }
    }

    #[test]
    fn names_are_those_that_jupyter_takes() {
        assert!(name("rust-1.95").is_ok());
        assert!(name("../rust").is_err() && name("").is_err());
    }
}
