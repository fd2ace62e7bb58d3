//! Builds one set of dependencies: a generated package whose only crate is a library of all that earlier sets lack.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use toml::{Table, Value};

use super::cache::{Built, Cache, Held, Named, hash};
use super::cargo::{Artifact, Cargo, CargoError, ROOT};
use super::crate_graph;
use super::linker;
use super::metadata::Metadata;
use super::network::Network;
use super::progress::Progress;
use super::request::Request;
use crate::rust_engine::compiler::rustc::joined;

const PROFILE: &str = "cells";
const CRATES: &str = "crates";
const MANIFEST: &str = "Cargo.toml";
const LOCK: &str = "Cargo.lock";
const ROOT_FILE: &str = "lib.rs";
const SOURCES: &str = "sources.json";
/// How long the registry may take to tell its versions, where older ones would do too.
const CHOOSE_LIMIT: Duration = Duration::from_secs(8);
const FETCH_LIMIT: Duration = Duration::from_secs(600);

/// Futures of crates that use tokio look for its runtime on the thread that polls them. The prepared crates have a tokio
/// of their own, which is not the one that these crates know, so the library brings a runtime of theirs.
const ENTER_TOKIO: &str = "
extern \"C\" fn enter() {
    if tokio::runtime::Handle::try_current().is_err() {
        if let Ok(runtime) = tokio::runtime::Runtime::new() {
            std::mem::forget(Box::leak(Box::new(runtime)).enter());
        }
    }
}

#[used]
#[unsafe(link_section = \".init_array\")]
static ENTER: extern \"C\" fn() = enter;
";

/// Everything that is the same for all sets of a notebook.
#[derive(Debug)]
pub struct Builder<'a> {
    pub cache: &'a Cache,
    pub rustc: &'a Path,
    pub host: &'a str,
    /// Variables for builds.
    pub environment: &'a BTreeMap<String, String>,
    /// Sets that the worker has loaded, oldest first.
    pub earlier: Vec<&'a Built>,
    /// The newest commits of the repositories among the requests.
    pub commits: Vec<&'a str>,
    pub network: &'a Network,
    /// The cache is made smaller than so many bytes when something was built.
    pub limit: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Cargo(#[from] CargoError),
    #[error("`{0}` is a program without a library, which code could not name")]
    NoLibrary(String),
    #[error(
        "the source of `{0}` has changed since this notebook loaded it; `:clear` forgets variables, items and dependencies, and then `:dep` takes the new one"
    )]
    Changed(String),
    #[error("cannot write the cache of dependencies: {0}")]
    Cache(#[from] io::Error),
}

/// The file of a crate that the compiler reads for cells.
struct CrateFile<'a> {
    artifact: &'a Artifact,
    file: &'a Path,
}

impl Builder<'_> {
    /// The set of these requests, built unless it was built before.
    pub async fn build(
        &self,
        requests: &BTreeMap<String, Request>,
        progress: &mut Progress<'_>,
    ) -> Result<(Built, Held), BuildError> {
        let manifest = manifest(requests);
        let earlier = self.earlier.iter();
        let earlier = earlier.map(|built| built.library.to_string_lossy().into_owned());
        let set = self.environment.iter();
        let set = set.map(|(name, value)| format!("{name}={value}"));
        let commits = self.commits.iter().map(|commit| (*commit).to_owned());
        let parts = earlier
            .chain([manifest.to_string()])
            .chain(set)
            .chain(commits);
        let parts: Vec<String> = parts.collect();
        let key = hash(parts.iter().map(String::as_str));
        if let Some(built) = self.cache.known(&key) {
            return Ok(built);
        }
        let locked = self.cache.lock(progress).await?;
        if let Some(built) = self.cache.known(&key) {
            return Ok(built);
        }
        let built = self.build_locked(key, manifest, requests, progress).await?;
        let held = self.cache.hold(&built.key)?;
        if let Err(error) = self.cache.shrink(self.limit, locked).await {
            // What was built is there all the same.
            tracing::warn!("The cache of dependencies could not be made smaller: {error}");
        }
        Ok((built, held))
    }

    async fn build_locked(
        &self,
        key: String,
        mut manifest: Table,
        requests: &BTreeMap<String, Request>,
        progress: &mut Progress<'_>,
    ) -> Result<Built, BuildError> {
        let package = self.cache.package(&key);
        let is_chosen = package.join(LOCK).exists() || requests.values().all(Request::is_exact);
        self.write_package(&package, &key, &mut manifest)?;
        let cargo = Cargo {
            rustc: self.rustc,
            package: &package,
            target: &self.cache.target(),
            environment: self.environment,
        };
        if !is_chosen {
            self.choose(&cargo, progress).await?;
        }
        let mut metadata = cargo.resolve(self.host, self.network, progress).await?;
        if metadata.has_tokio() && !metadata.names_tokio() {
            name_tokio(&mut manifest);
            fs::write(package.join(MANIFEST), manifest.to_string())?;
            metadata = cargo.resolve(self.host, self.network, progress).await?;
        }
        self.write_root(&package, &metadata, requests)?;
        let mut arguments = self.arguments(&key);
        if metadata.has_native() {
            arguments.push(joined("-Clinker=", &linker::write(&package)?));
            // By its name it could be any.
            arguments.push("-Clinker-flavor=gcc".into());
        }
        let build = cargo.build(arguments, progress).await?;
        let files = self.crate_files(&build.artifacts);
        let changeable = changeable(&files)?;
        // Cargo fails then, in words about the inside of the compiler.
        for built in &self.earlier {
            unchanged(&built.changeable, &changeable)?;
        }
        if let Some(error) = build.error {
            return Err(error.into());
        }
        let mut artifacts = build.artifacts.iter();
        let root = artifacts.find(|artifact| metadata.is_root(&artifact.package_id));
        let library = root.and_then(|root| root.filenames.first());
        let library = library.ok_or_else(|| io::Error::other("cargo told of no library"))?;
        let sources = serde_json::to_string(&crate_graph::of_dependencies(&metadata));
        let sources = sources.map_err(io::Error::from)?;
        let folder = self.keep(&key, library, &files, &changeable, &sources)?;
        let crates = folder.join(CRATES);
        let built = Built {
            library: folder.join(library_file(&key)),
            sources: folder.join(SOURCES),
            named: named(&metadata, &files, &crates),
            key,
            crates,
            changeable,
        };
        self.cache.stamp(&built)?;
        Ok(built)
    }

    /// Has the registry choose versions, unless it did not answer before.
    async fn choose(
        &self,
        cargo: &Cargo<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(), BuildError> {
        if self.network.is_off() {
            return Ok(());
        }
        // A repository that has told its commit may take its time to send it.
        let asked = self.commits.iter().any(|commit| !commit.is_empty());
        let limit = if asked { FETCH_LIMIT } else { CHOOSE_LIMIT };
        if self.network.is_unreachable() || !cargo.choose(limit, progress).await? {
            self.network.was_unreachable();
            let note = "the registry does not answer: the newest of what was downloaded before";
            progress.note(note.to_owned());
        }
        Ok(())
    }

    /// The package as it was resolved and built before, or a new one.
    fn write_package(&self, package: &Path, key: &str, manifest: &mut Table) -> io::Result<()> {
        fs::create_dir_all(package)?;
        if let Some(Value::Table(about)) = manifest.get_mut("package") {
            about.insert("name".to_owned(), crate_name(key).into());
        }
        let lock = package.join(LOCK);
        // The versions that are loaded already.
        if let (Some(earlier), false) = (self.earlier.last(), lock.exists()) {
            fs::copy(self.cache.package(&earlier.key).join(LOCK), lock)?;
        }
        for (file, text) in [(MANIFEST, manifest.to_string()), (ROOT_FILE, String::new())] {
            let file = package.join(file);
            if !file.exists() {
                fs::write(file, text)?;
            }
        }
        Ok(())
    }

    /// The crate's source: it names all others, so that the compiler puts them into the library.
    fn write_root(
        &self,
        package: &Path,
        metadata: &Metadata,
        requests: &BTreeMap<String, Request>,
    ) -> Result<(), BuildError> {
        let mut names: Vec<String> = Vec::new();
        let mut packages = Vec::new();
        for named in metadata.named() {
            names.push(named.name.clone());
            packages.extend(metadata.package(&named.pkg).map(|package| &*package.name));
        }
        let has_library = |request: &&Request| packages.contains(&request.package());
        if let Some(request) = requests.values().find(|request| !has_library(request)) {
            return Err(BuildError::NoLibrary(request.name.clone()));
        }
        names.extend(self.earlier.iter().map(|built| crate_name(&built.key)));
        let lines = names
            .iter()
            .map(|name| format!("extern crate {name} as _;\n"));
        let mut source: String = lines.collect();
        if metadata.names_tokio() {
            source.push_str(ENTER_TOKIO);
        }
        // Cargo compiles a file again that is newer.
        let file = package.join(ROOT_FILE);
        if fs::read_to_string(&file)? != source {
            fs::write(file, source)?;
        }
        Ok(())
    }

    fn arguments(&self, key: &str) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = [
            "rustc",
            "--lib",
            "--offline",
            "--message-format=json-render-diagnostics",
            "--profile",
            PROFILE,
            // What build scripts and macros use is built apart from what cells use, even for the same machine.
            "--target",
            self.host,
            "--",
            // The worker has one standard library.
            "-Cprefer-dynamic",
        ]
        .map(OsString::from)
        .to_vec();
        arguments.push(format!("-Clink-arg=-Wl,-soname,{}", library_file(key)).into());
        for built in &self.earlier {
            let name = crate_name(&built.key);
            arguments.push("--extern".into());
            arguments.push(joined(&format!("{name}="), &built.library));
            arguments.push("-L".into());
            arguments.push(joined("dependency=", &built.crates));
        }
        arguments
    }

    fn crate_files<'a>(&self, artifacts: &'a [Artifact]) -> Vec<CrateFile<'a>> {
        let target = self.cache.target().join(self.host);
        let file = |artifact: &'a Artifact| {
            let ending = |wanted: &str| {
                let mut files = artifact.filenames.iter();
                files.find(|file| file.extension().is_some_and(|ending| ending == wanted))
            };
            match artifact.filenames.first()?.starts_with(&target) {
                // A crate that is also a library for C has no metadata apart.
                true => ending("rmeta").or_else(|| ending("rlib")),
                // The compiler loads macros.
                false => ending("so"),
            }
        };
        let files = artifacts.iter().filter_map(|artifact| {
            let file = file(artifact)?;
            Some(CrateFile { artifact, file })
        });
        files.collect()
    }

    fn keep(
        &self,
        key: &str,
        library: &Path,
        files: &[CrateFile<'_>],
        changeable: &BTreeMap<String, String>,
        sources: &str,
    ) -> io::Result<PathBuf> {
        let names = files.iter().map(|file| file_name(file.file));
        let contents: Vec<String> = names
            .chain(changeable.values().cloned())
            .chain([sources.to_owned()])
            .collect();
        let contents = hash(contents.iter().map(String::as_str));
        self.cache.keep(key, &contents, |new| {
            let crates = new.join(CRATES);
            fs::create_dir(&crates)?;
            for CrateFile { file, .. } in files {
                let to = crates.join(file_name(file));
                // The compiler writes a new file rather than into this one.
                fs::hard_link(file, &to).or_else(|_| fs::copy(file, &to).map(|_| ()))?;
            }
            fs::write(new.join(SOURCES), sources)?;
            fs::copy(library, new.join(library_file(key))).map(|_| ())
        })
    }
}

/// An error if a crate of both has other contents in each: the names of its symbols are the same, so the worker can
/// have only one of them.
pub fn unchanged(
    loaded: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> Result<(), BuildError> {
    let same = |(file, hash): &(&String, &String)| now.get(*file).is_none_or(|now| now == *hash);
    match loaded.iter().find(|entry| !same(entry)) {
        Some((file, _)) => Err(BuildError::Changed(crate_of(file).to_owned())),
        None => Ok(()),
    }
}

/// `serde` of `libserde-1f2e3d.rmeta`.
pub fn crate_of(file_name: &str) -> &str {
    let name = file_name.strip_prefix("lib").unwrap_or(file_name);
    name.split('-').next().unwrap_or_default()
}

/// Hashes by file name of crates from folders, whose file names stay when they change.
fn changeable(files: &[CrateFile<'_>]) -> io::Result<BTreeMap<String, String>> {
    let changing = files
        .iter()
        .filter(|file| file.artifact.package_id.starts_with("path+"));
    changing
        .map(|file| {
            let hash = Sha256::digest(fs::read(file.file)?);
            Ok((file_name(file.file), hex::encode(hash)))
        })
        .collect()
}

fn named(metadata: &Metadata, files: &[CrateFile<'_>], crates: &Path) -> BTreeMap<String, Named> {
    let named = metadata.named().iter().filter_map(|named| {
        let mut files = files.iter();
        let file = files.find(|file| file.artifact.package_id == named.pkg)?;
        let package = metadata.package(&named.pkg)?;
        let found = Named {
            file: crates.join(file_name(file.file)),
            package: package.name.clone(),
            version: package.version.clone(),
        };
        Some((named.name.clone(), found))
    });
    named.collect()
}

/// Has cells name the tokio of the other crates, with all that the prepared one has.
fn name_tokio(manifest: &mut Table) {
    let Some(Value::Table(dependencies)) = manifest.get_mut("dependencies") else {
        return;
    };
    let new = || Table::from_iter([("version".to_owned(), "1".into())]).into();
    let tokio = dependencies.entry("tokio").or_insert_with(new);
    let features = tokio.as_table_mut().map(|tokio| {
        let features = tokio.entry("features");
        features.or_insert_with(|| Value::Array(Vec::new()))
    });
    if let Some(Value::Array(features)) = features {
        features.push("full".into());
    }
}

pub fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn crate_name(key: &str) -> String {
    format!("{ROOT}{key}")
}

fn library_file(key: &str) -> String {
    format!("lib{}.so", crate_name(key))
}

/// The package of a set, all but its name.
fn manifest(requests: &BTreeMap<String, Request>) -> Table {
    let mut manifest = toml::toml! {
        [package]
        version = "0.0.0"
        edition = "2024"

        [lib]
        path = "lib.rs"
        crate-type = ["dylib"]

        [dependencies]

        [profile.cells]
        inherits = "release"
        opt-level = 2
        debug = false
        lto = false
        panic = "unwind"

        // Unlike cargo's default, so that no macro crate is taken for one of the prepared crates.
        [profile.cells.build-override]
        codegen-units = 16

        // No workspace around the cache is ours.
        [workspace]
    };
    let requests = requests.values();
    let dependencies =
        requests.map(|request| (request.name.clone(), request.detail.clone().into()));
    let dependencies: Table = dependencies.collect();
    let has_tokio = dependencies.contains_key("tokio");
    manifest.insert("dependencies".to_owned(), dependencies.into());
    if has_tokio {
        name_tokio(&mut manifest);
    }
    manifest
}
