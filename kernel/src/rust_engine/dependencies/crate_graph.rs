//! Sources of the crates that cells can name, as cargo knows them, for the analyzer.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_protocol::analysis::{CrateDependency, CrateGraph, CrateSource};

use super::metadata::{Metadata, NamedCrate, Node, Target};
use crate::rust_engine::prebuilt::installation::{NAMED, WORKER};

/// The crates of the prelude whose worker was built in `from`.
pub fn of_prelude(from: &Path, sysroot: &Path, host: &str) -> Result<CrateGraph, String> {
    let manifest = manifest_of_prelude(from)?;
    // What was built was downloaded, but for crates that are only for tests.
    let metadata = metadata(&manifest, sysroot, host, &["--offline"])
        .or_else(|_| metadata(&manifest, sysroot, host, &[]))?;
    Ok(prelude(&metadata))
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
fn prelude(metadata: &Metadata) -> CrateGraph {
    let visible = |name: &str| NAMED.contains(&name) || name == "carrel_prelude";
    // What ours offer is offered through the prelude; macros of the last define types of tokio.
    let needed = [
        "carrel_onnx",
        "carrel_ranks",
        "carrel_report",
        "carrel_runtime",
        "pin_project_lite",
    ];
    let crates = libraries(metadata).filter(|(_, target)| {
        let name = &*target.name;
        !target.is_proc_macro() && (visible(name) || needed.contains(&name))
    });
    graph(&crates.collect::<Vec<_>>(), |_, target| {
        let name = visible(&target.name).then(|| target.name.clone());
        name.into_iter().collect()
    })
}

/// The crates of a package: cells can name its direct dependencies.
pub fn of_dependencies(metadata: &Metadata) -> CrateGraph {
    let crates = libraries(metadata).filter(|(node, _)| !metadata.is_root(&node.id));
    graph(&crates.collect::<Vec<_>>(), |node, target| {
        let named = metadata.named().iter();
        let names = named.filter(|named| named.pkg == node.id);
        let mut names: Vec<String> = names.map(|named| named.name.clone()).collect();
        // Types are told with the crate's own name.
        if !names.is_empty() && !names.contains(&target.name) {
            names.push(target.name.clone());
        }
        names
    })
}

fn libraries(metadata: &Metadata) -> impl Iterator<Item = (&Node, &Target)> {
    let targets: HashMap<&str, &Target> = metadata
        .packages
        .iter()
        .filter_map(|package| Some((&*package.id, package.library()?)))
        .collect();
    let nodes = metadata.nodes().iter();
    nodes.filter_map(move |node| Some((node, *targets.get(&*node.id)?)))
}

/// `names` are what cells call a crate.
fn graph(crates: &[(&Node, &Target)], names: impl Fn(&Node, &Target) -> Vec<String>) -> CrateGraph {
    let indices: HashMap<&str, usize> = crates
        .iter()
        .enumerate()
        .map(|(index, (node, _))| (&*node.id, index))
        .collect();
    let source = |(node, target): &(&Node, &Target)| {
        let dependency = |dep: &NamedCrate| {
            Some(CrateDependency {
                index: *indices.get(&*dep.pkg)?,
                name: dep.name.clone(),
            })
        };
        CrateSource {
            display_name: target.name.clone(),
            root_module: target.src_path.clone(),
            edition: target.edition.clone(),
            cfg: node
                .features
                .iter()
                .map(|name| format!("feature={name:?}"))
                .collect(),
            deps: node.deps.iter().filter_map(dependency).collect(),
            names: names(node, target),
            is_proc_macro: target.is_proc_macro(),
        }
    };
    CrateGraph {
        crates: crates.iter().map(source).collect(),
    }
}
