//! Sources of the crates that cells can name, as cargo knows them, for the analyzer.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_protocol::analysis::{CrateDependency, CrateGraph, CrateSource};
use serde::Deserialize;

use super::prelude::{NAMED, WORKER};

/// What of `cargo metadata` is needed.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
    src_path: PathBuf,
    edition: String,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
    features: Vec<String>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    pkg: String,
}

/// The crates of the prelude whose worker was built in `from`.
pub fn of_prelude(from: &Path, sysroot: &Path, host: &str) -> Result<CrateGraph, String> {
    let manifest = manifest_of_prelude(from)?;
    // What was built was downloaded, but for crates that are only for tests.
    let metadata = metadata(&manifest, sysroot, host, &["--offline"])
        .or_else(|_| metadata(&manifest, sysroot, host, &[]))?;
    Ok(graph(&metadata))
}

fn metadata(
    manifest: &Path,
    sysroot: &Path,
    host: &str,
    arguments: &[&str],
) -> Result<Metadata, String> {
    let output = Command::new(sysroot.join("bin").join("cargo"))
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", host, "--manifest-path"])
        .arg(manifest)
        .args(arguments)
        .env("CARGO_NET_RETRY", "0")
        .env("CARGO_HTTP_TIMEOUT", "10")
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// cargo notes what the worker was built from: `WORKER: FILE FILE ...`.
fn manifest_of_prelude(from: &Path) -> Result<PathBuf, String> {
    let path = from.join(format!("{WORKER}.d"));
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (_, files) = text.split_once(": ").unwrap_or_default();
    let mut files = files
        .split(".rs")
        .map(|file| file.trim_start().replace("\\ ", " "));
    let root = files.find_map(|file| Some(file.strip_suffix("prelude/src/lib")?.to_owned()));
    let root = root.ok_or_else(|| format!("{} names no prelude", path.display()))?;
    Ok(Path::new(&root).join("prelude").join("Cargo.toml"))
}

/// The crates that cells can name. Those that they use in turn would double what the analyzer reads and holds, and
/// show in few signatures.
fn graph(metadata: &Metadata) -> CrateGraph {
    let visible = |name: &str| NAMED.contains(&name) || name == "carrel_prelude";
    // What the first offers is offered through the prelude; macros of the second define types of tokio.
    let needed = ["carrel_runtime", "pin_project_lite"];
    let chosen = |name: &str| visible(name) || needed.contains(&name);
    let libraries: HashMap<&str, &Target> = metadata
        .packages
        .iter()
        .filter_map(|package| Some((&*package.id, library(package)?)))
        .collect();
    let chosen: Vec<(&Node, &Target)> = metadata
        .resolve
        .nodes
        .iter()
        .filter_map(|node| Some((node, *libraries.get(&*node.id)?)))
        .filter(|(_, target)| chosen(&target.name))
        .collect();
    let dependency = |dep: &Dependency| {
        Some(CrateDependency {
            index: chosen.iter().position(|(node, _)| node.id == dep.pkg)?,
            name: dep.name.clone(),
        })
    };
    let source = |(node, target): &(&Node, &Target)| CrateSource {
        display_name: target.name.clone(),
        root_module: target.src_path.clone(),
        edition: target.edition.clone(),
        cfg: node
            .features
            .iter()
            .map(|name| format!("feature={name:?}"))
            .collect(),
        deps: node.deps.iter().filter_map(dependency).collect(),
        visible: visible(&target.name),
    };
    CrateGraph {
        crates: chosen.iter().map(source).collect(),
    }
}

/// The package's library; a procedural macro is none, the analyzer runs no code.
fn library(package: &Package) -> Option<&Target> {
    let kinds = ["lib", "rlib", "dylib"];
    let mut targets = package.targets.iter();
    targets.find(|target| target.kind.iter().any(|kind| kinds.contains(&&**kind)))
}
