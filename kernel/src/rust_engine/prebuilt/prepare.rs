//! `carrel-kernel prepare`: copies what cells need of cargo's target folder into a prelude folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::UNIX_EPOCH;

use super::installation::{
    CRATES, DEPENDENCIES, LIBRARY, MANIFEST, Manifest, PROGRAMS, RUNTIME, RustcError, SourceFile,
    WORKER, rustc_in, sysroot, user_folder, version,
};
use crate::rust_engine::compiler::rustc::joined;
use crate::rust_engine::dependencies::crate_graph;

#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error(transparent)]
    Rustc(#[from] RustcError),
    #[error("{} is not built: run `cargo build --release -p carrel-kernel -p carrel-worker` first, or give --from where that was done", .0.display())]
    NotBuilt(PathBuf),
    #[error("neither $XDG_DATA_HOME nor $HOME is set; give --to DIR")]
    NoHome,
    #[error("{} is not a folder that this command made; give another --to DIR, or remove it", .0.display())]
    NotOurs(PathBuf),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("rustc does not accept the crates in {}: {output}\nBuild them with the compiler on PATH: `cargo build --release -p carrel-worker`", from.display())]
    NotAccepted { from: PathBuf, output: String },
}

/// Whether [`prepare`] had anything to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Prepared {
    Made(PathBuf),
    UpToDate(PathBuf),
}

/// Fills `to`, by default the user's folder, from `from`, cargo's folder of a release build, by default this program's own.
pub fn prepare(from: Option<&Path>, to: Option<&Path>) -> Result<Prepared, PrepareError> {
    let own = std::env::current_exe();
    let own = own
        .ok()
        .and_then(|program| Some(program.parent()?.to_owned()));
    let from = from.map(Path::to_owned).or(own).unwrap_or_default();
    let from = fs::canonicalize(&from).map_err(|_| PrepareError::NotBuilt(from))?;
    let sysroot = sysroot()?;
    let rustc = version(&rustc_in(&sysroot))?;
    let to = match to {
        Some(folder) => std::path::absolute(folder).map_err(write_error(folder))?,
        None => user_folder(&rustc).ok_or(PrepareError::NoHome)?,
    };
    let sources = files(&from).map(|name| stamp(&from.join(name)));
    let manifest = Manifest {
        rustc,
        sysroot,
        sources: sources.collect::<Result<_, _>>()?,
    };
    if let Ok(present) = Manifest::read(&to)
        && present.crates() == manifest.crates()
    {
        if !to.join(CRATES).is_file() {
            write_crate_graph(&to, &from, &manifest)?;
        }
        return match present == manifest {
            true => Ok(Prepared::UpToDate(to)),
            false => complement(to, &from, &present, &manifest),
        };
    }
    let replaces = fs::read_dir(&to).is_ok_and(|mut entries| entries.next().is_some());
    if replaces && !to.join(MANIFEST).is_file() {
        return Err(PrepareError::NotOurs(to));
    }
    let parent = to.parent().unwrap_or(&to);
    fs::create_dir_all(parent).map_err(write_error(parent))?;
    let made = tempfile::Builder::new()
        .prefix(".prelude-")
        .tempdir_in(parent)
        .map_err(write_error(parent))?;
    let new = made.path().join("new");
    fill(&new, &from, &manifest)?;
    // A kernel that starts in between finds no folder and says so; a running one has its files open.
    if to.exists() {
        fs::rename(&to, made.path().join("old")).map_err(write_error(&to))?;
    }
    fs::rename(&new, &to).map_err(write_error(&to))?;
    Ok(Prepared::Made(to))
}

/// Brings programs that were built after the crates, beside kernels that run.
fn complement(
    to: PathBuf,
    from: &Path,
    present: &Manifest,
    manifest: &Manifest,
) -> Result<Prepared, PrepareError> {
    for source in &manifest.sources {
        if !present.sources.contains(source) {
            let name = source.path.file_name().unwrap_or_default();
            replace(&to.join(name), |new| {
                fs::copy(from.join(name), new).map(drop)
            })?;
        }
    }
    write_manifest(&to, manifest)?;
    Ok(Prepared::Made(to))
}

/// Whoever opens the file meanwhile finds the old one or the new one.
fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), PrepareError> {
    let new = path.with_extension("new");
    write(&new)
        .and_then(|()| fs::rename(&new, path))
        .map_err(write_error(path))
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<(), PrepareError> {
    let path = folder.join(MANIFEST);
    let text =
        serde_json::to_vec_pretty(manifest).map_err(|error| write_error(&path)(error.into()))?;
    replace(&path, |new| fs::write(new, text))
}

fn fill(folder: &Path, from: &Path, manifest: &Manifest) -> Result<(), PrepareError> {
    let dependencies = folder.join(DEPENDENCIES);
    fs::create_dir_all(&dependencies).map_err(write_error(&dependencies))?;
    for name in files(from) {
        copy(&from.join(name), folder)?;
    }
    copy(&standard_library(manifest)?, folder)?;
    write_crate_graph(folder, from, manifest)?;
    for crate_file in crates_of_library(from, &from.join("deps"), &manifest.sysroot)? {
        copy(&crate_file, &dependencies)?;
    }
    // The proof that nothing is missing.
    crates_of_library(folder, &dependencies, &manifest.sysroot)?;
    write_manifest(folder, manifest)
}

/// What cargo built; the analyzer, the program of training jobs and the model server need not be there.
fn files(from: &Path) -> impl Iterator<Item = &'static str> {
    let optional = PROGRAMS
        .into_iter()
        .filter(|name| from.join(name).is_file());
    [WORKER, LIBRARY, RUNTIME].into_iter().chain(optional)
}

/// Cells run without it.
fn write_crate_graph(folder: &Path, from: &Path, manifest: &Manifest) -> Result<(), PrepareError> {
    let path = folder.join(CRATES);
    let graph = crate_graph::of_prelude(from, &manifest.sysroot, manifest.host());
    let text =
        graph.and_then(|graph| serde_json::to_vec(&graph).map_err(|error| error.to_string()));
    match text {
        Ok(text) => fs::write(&path, text).map_err(write_error(&path)),
        Err(reason) => {
            tracing::warn!("Completion will know no crate that cells see without set-up: {reason}");
            Ok(())
        }
    }
}

/// Files of the crates that the prelude's library was built from. Cargo keeps several builds of a crate side by
/// side, and only the compiler knows which of them fit, so it is asked to load the library and to tell.
fn crates_of_library(
    folder: &Path,
    dependencies: &Path,
    sysroot: &Path,
) -> Result<BTreeSet<PathBuf>, PrepareError> {
    let output = compile_against(folder, dependencies, sysroot)?;
    let log = String::from_utf8_lossy(&output.stderr);
    let files: BTreeSet<PathBuf> = loaded_files(&log)
        .filter(|file| !file.starts_with(sysroot))
        .filter(|file| !file.ends_with(LIBRARY) && !file.ends_with(RUNTIME))
        .collect();
    if output.status.success() && !files.is_empty() {
        return Ok(files);
    }
    let errors: Vec<_> = log.lines().filter(|line| line.contains("error")).collect();
    Err(PrepareError::NotAccepted {
        from: folder.to_owned(),
        output: errors.join("\n"),
    })
}

/// Compiles a crate that uses the library, with the compiler's log of the crates that it loads.
fn compile_against(
    folder: &Path,
    dependencies: &Path,
    sysroot: &Path,
) -> Result<Output, PrepareError> {
    let rustc = rustc_in(sysroot);
    let scratch = tempfile::tempdir().map_err(write_error(&std::env::temp_dir()))?;
    let source = scratch.path().join("all.rs");
    fs::write(&source, "pub use carrel_prelude::prelude;").map_err(write_error(&source))?;
    let output = Command::new(&rustc)
        .args(["--crate-type=lib", "--edition=2024", "--emit=metadata"])
        .args(["--error-format=short", "--out-dir"])
        .arg(scratch.path())
        .arg("--extern")
        .arg(joined("carrel_prelude=", &folder.join(LIBRARY)))
        .arg("-L")
        .arg(joined("dependency=", folder))
        .arg("-L")
        .arg(joined("dependency=", dependencies))
        .arg(&source)
        .env("RUSTC_LOG", "rustc_metadata::creader=info")
        .env("RUSTC_LOG_COLOR", "never")
        .output();
    Ok(output.map_err(|source| RustcError::Start {
        program: rustc,
        source,
    })?)
}

/// The lines `rmeta: PATH`, `rlib: PATH` and `dylib: PATH` in the list of loaded crates at the end of the log.
fn loaded_files(log: &str) -> impl Iterator<Item = PathBuf> {
    let (_, list) = log.split_once("resolved crates:").unwrap_or_default();
    list.lines().filter_map(|line| {
        ["rmeta: ", "rlib: ", "dylib: "]
            .iter()
            .find_map(|kind| line.trim_start().strip_prefix(kind))
            .map(PathBuf::from)
    })
}

/// The worker finds the standard library beside itself, without the compiler's folder on its search path.
fn standard_library(manifest: &Manifest) -> Result<PathBuf, PrepareError> {
    let rustlib = manifest.sysroot.join("lib").join("rustlib");
    let folder = rustlib.join(manifest.host()).join("lib");
    let entries = fs::read_dir(&folder).map_err(write_error(&folder))?;
    let mut files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".so")
        })
        .ok_or(PrepareError::NotBuilt(folder))
}

fn stamp(path: &Path) -> Result<SourceFile, PrepareError> {
    let metadata = fs::metadata(path).map_err(|_| PrepareError::NotBuilt(path.to_owned()))?;
    let modified = metadata.modified().map_err(write_error(path))?;
    Ok(SourceFile {
        path: path.to_owned(),
        bytes: metadata.len(),
        modified_ns: modified
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos(),
    })
}

fn copy(file: &Path, folder: &Path) -> Result<(), PrepareError> {
    let to = folder.join(file.file_name().unwrap_or_default());
    fs::copy(file, &to).map_err(write_error(&to))?;
    Ok(())
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> PrepareError {
    let path = path.to_owned();
    move |source| PrepareError::Write { path, source }
}
