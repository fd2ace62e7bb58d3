//! What of `cargo metadata` is needed: packages, their targets, and what each names.

use std::path::PathBuf;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Metadata {
    pub packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    /// The native library that its build script brings.
    links: Option<String>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
pub struct Target {
    kind: Vec<String>,
    pub name: String,
    pub src_path: PathBuf,
    pub edition: String,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    root: String,
    nodes: Vec<Node>,
}

/// A package with its features and its dependencies, as they were chosen.
#[derive(Debug, Deserialize)]
pub struct Node {
    pub id: String,
    pub deps: Vec<NamedCrate>,
    pub features: Vec<String>,
}

/// A crate as another one names it.
#[derive(Debug, Deserialize)]
pub struct NamedCrate {
    pub name: String,
    pub pkg: String,
}

impl Metadata {
    pub fn nodes(&self) -> &[Node] {
        &self.resolve.nodes
    }

    /// The direct dependencies.
    pub fn named(&self) -> &[NamedCrate] {
        let mut nodes = self.resolve.nodes.iter();
        let root = nodes.find(|node| node.id == self.resolve.root);
        root.map_or(&[], |node| &node.deps)
    }

    /// Whether a crate among them may ask for tokio's runtime.
    pub fn has_tokio(&self) -> bool {
        let mut packages = self.packages.iter();
        packages.any(|package| package.name == "tokio" && package.version.starts_with("1."))
    }

    /// Whether a build script may bring a native library.
    pub fn has_native(&self) -> bool {
        self.packages.iter().any(|package| package.links.is_some())
    }

    pub fn names_tokio(&self) -> bool {
        self.named().iter().any(|named| named.name == "tokio")
    }

    pub fn is_root(&self, id: &str) -> bool {
        self.resolve.root == id
    }

    pub fn package(&self, id: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.id == id)
    }
}

impl Package {
    /// What other packages name: its library or its procedural macros.
    pub fn library(&self) -> Option<&Target> {
        let kinds = ["lib", "rlib", "dylib", "proc-macro"];
        let mut targets = self.targets.iter();
        targets.find(|target| target.kind.iter().any(|kind| kinds.contains(&&**kind)))
    }
}

impl Target {
    pub fn is_proc_macro(&self) -> bool {
        self.kind.iter().any(|kind| kind == "proc-macro")
    }
}
