//! The folder of prebuilt crates: worker, shared libraries, and what the compiler reads of the crates in them.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::paths::user_data;

/// Names the folder when it is not in the user's data folder.
pub const VARIABLE: &str = "CARREL_PRELUDE_DIR";
pub const MANIFEST: &str = "manifest.json";
pub const WORKER: &str = "carrel-worker";
/// Optional: without it completion knows keywords and words only.
pub const ANALYZER: &str = "carrel-analyzer";
/// Where the sources of the crates are, for the analyzer.
pub const CRATES: &str = "crates.json";
/// Optional: without it a cell cannot start training jobs.
pub const TRAIN: &str = "carrel-train";
/// Optional: without it a cell cannot serve networks.
pub const SERVER: &str = "carrel-model-server";
/// The kernel itself, so that its kernelspec names a program that stays.
pub const KERNEL: &str = "carrel-kernel";
/// What cells run without.
pub const PROGRAMS: [&str; 4] = [KERNEL, ANALYZER, TRAIN, SERVER];
pub const LIBRARY: &str = "libcarrel_prelude.so";
/// The part of it that every cell calls.
pub const RUNTIME: &str = "libcarrel_runtime.so";
/// Crates that the compiler looks up because the library's crates use them.
pub const DEPENDENCIES: &str = "deps";

/// Crates that a cell can name by path anywhere, as `::candle_core`.
pub const NAMED: [&str; 5] = [
    "candle_core",
    "candle_nn",
    "carrel_training",
    "half",
    "tokio",
];

/// A prepared folder with the compiler that fits it.
#[derive(Debug, Clone)]
pub struct Prelude {
    pub folder: PathBuf,
    pub rustc: PathBuf,
    /// Output of `rustc -vV`.
    pub version: String,
    /// Which library it was.
    library: Option<Identity>,
}

/// What tells a file from one that took its place.
type Identity = (u64, SystemTime);

/// What the folder was made with and from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Output of `rustc -vV`.
    pub rustc: String,
    pub sysroot: PathBuf,
    pub sources: Vec<SourceFile>,
}

/// A built file as it was when it was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    pub path: PathBuf,
    pub bytes: u64,
    pub modified_ns: u128,
}

#[derive(Debug, thiserror::Error)]
pub enum PreludeError {
    #[error("{0}")]
    Rustc(#[from] RustcError),
    #[error(
        "the crates that every cell sees are not prepared: {} holds none. Run `carrel-kernel prepare` where Carrel was built, or set ${VARIABLE}", folder.display()
    )]
    Missing { folder: PathBuf },
    #[error("cannot read {}: {reason}", path.display())]
    Manifest { path: PathBuf, reason: String },
    #[error(
        "the crates in {} were prepared for {wanted}, but here is {found}. Install that compiler, or build Carrel with this one and run `carrel-kernel prepare --from TARGET/release`", folder.display()
    )]
    OtherCompiler {
        folder: PathBuf,
        wanted: String,
        found: String,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum RustcError {
    #[error("cannot run {}: {source}. Install Rust with rustup (https://rustup.rs)", program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("{} {argument} failed: {stderr}", program.display())]
    Failed {
        program: PathBuf,
        argument: &'static str,
        stderr: String,
    },
}

impl Prelude {
    /// Finds the folder and checks that the compiler is the one that made it.
    pub fn find() -> Result<Self, PreludeError> {
        Self::in_folder(&locate()?)
    }

    /// The same for a folder that is known.
    pub fn in_folder(folder: &Path) -> Result<Self, PreludeError> {
        let folder = folder.to_owned();
        if !folder.join(MANIFEST).is_file() {
            return Err(PreludeError::Missing { folder });
        }
        let manifest = Manifest::read(&folder)?;
        // The compiler on PATH may be another one in the person's folder; the recorded one comes first.
        let recorded = rustc_in(&manifest.sysroot);
        let library = identity(&folder);
        if version(&recorded).is_ok_and(|version| version == manifest.rustc) {
            return Ok(Self {
                folder,
                rustc: recorded,
                version: manifest.rustc,
                library,
            });
        }
        let rustc = rustc_in(&sysroot()?);
        let found = version(&rustc)?;
        if found != manifest.rustc {
            return Err(PreludeError::OtherCompiler {
                folder,
                wanted: first_line(&manifest.rustc),
                found: first_line(&found),
            });
        }
        Ok(Self {
            folder,
            rustc,
            version: found,
            library,
        })
    }
}

impl Prelude {
    /// Whether the folder still has the crates that were found: the compiler reads them anew for each cell, and a worker
    /// has those that it started with.
    pub fn is_there(&self) -> bool {
        self.library.is_some() && identity(&self.folder) == self.library
    }

    /// The folder of the compiler that made it.
    pub fn sysroot(&self) -> &Path {
        let bin = self.rustc.parent();
        bin.and_then(Path::parent).unwrap_or(&self.folder)
    }

    /// The machine that the compiler runs on.
    pub fn host(&self) -> &str {
        host(&self.version)
    }

    /// Files of the crates that a cell can name.
    pub fn named_crates(&self) -> io::Result<Vec<(&'static str, PathBuf)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.folder.join(DEPENDENCIES))? {
            let path = entry?.path();
            let file = path.file_stem().unwrap_or_default().to_string_lossy();
            // `libcandle_core-<hash>`
            let name = file
                .strip_prefix("lib")
                .and_then(|file| file.split('-').next());
            let named = NAMED.into_iter().find(|named| name == Some(named));
            found.extend(named.map(|named| (named, path.clone())));
        }
        Ok(found)
    }
}

fn identity(folder: &Path) -> Option<Identity> {
    let file = fs::metadata(folder.join(LIBRARY)).ok()?;
    Some((file.ino(), file.modified().ok()?))
}

impl Manifest {
    /// What cells are compiled and run with: all but the [`PROGRAMS`].
    pub fn crates(&self) -> (&str, &Path, Vec<&SourceFile>) {
        let is_program = |source: &&SourceFile| {
            let name = source.path.file_name().unwrap_or_default();
            PROGRAMS.iter().any(|program| name == *program)
        };
        let sources = self.sources.iter().filter(|source| !is_program(source));
        (&self.rustc, &self.sysroot, sources.collect())
    }

    /// The platform of the compiler.
    pub fn host(&self) -> &str {
        host(&self.rustc)
    }

    pub fn read(folder: &Path) -> Result<Self, PreludeError> {
        let path = folder.join(MANIFEST);
        let error = |reason: String| PreludeError::Manifest {
            path: path.clone(),
            reason,
        };
        let text = fs::read(&path).map_err(|source| error(source.to_string()))?;
        serde_json::from_slice(&text).map_err(|source| error(source.to_string()))
    }
}

/// The folder that `prepare` fills when none is named: one per compiler in the user's data folder.
pub fn user_folder(rustc_version: &str) -> Option<PathBuf> {
    use sha2::{Digest, Sha256};
    let hash = hex::encode(&Sha256::digest(rustc_version)[..8]);
    Some(user_data()?.join("carrel").join("prelude").join(hash))
}

/// The folder that is named, lies beside this program, or was made by `prepare` for the compiler on PATH.
pub fn locate() -> Result<PathBuf, PreludeError> {
    if let Some(folder) = env::var_os(VARIABLE).filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        return if folder.join(MANIFEST).is_file() {
            Ok(folder)
        } else {
            Err(PreludeError::Missing { folder })
        };
    }
    let beside = env::current_exe().ok();
    let beside = beside.and_then(|program| Some(program.parent()?.join("prelude")));
    if let Some(folder) = beside.filter(|folder| folder.join(MANIFEST).is_file()) {
        return Ok(folder);
    }
    let folder = user_folder(&version(&rustc_in(&sysroot()?))?).unwrap_or_default();
    if folder.join(MANIFEST).is_file() {
        Ok(folder)
    } else {
        Err(PreludeError::Missing { folder })
    }
}

/// The sysroot of the `rustc` on PATH. A `rustc` of rustup is a proxy that takes longer than a small cell.
pub fn sysroot() -> Result<PathBuf, RustcError> {
    let output = run(Path::new("rustc"), "--print=sysroot")?;
    Ok(PathBuf::from(output.trim_end()))
}

pub fn rustc_in(sysroot: &Path) -> PathBuf {
    sysroot.join("bin").join("rustc")
}

/// Output of `rustc -vV`, which tells compilers apart whose crates do not fit together.
pub fn version(rustc: &Path) -> Result<String, RustcError> {
    run(rustc, "-vV")
}

/// The line `host: ` of [`version`].
fn host(version: &str) -> &str {
    let mut lines = version.lines();
    let host = lines.find_map(|line| line.strip_prefix("host: "));
    host.unwrap_or_default()
}

fn run(program: &Path, argument: &'static str) -> Result<String, RustcError> {
    let output = Command::new(program)
        .arg(argument)
        .output()
        .map_err(|source| RustcError::Start {
            program: program.to_owned(),
            source,
        })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(RustcError::Failed {
            program: program.to_owned(),
            argument,
            stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
