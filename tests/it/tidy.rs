//! Rules that hold for every source file of the workspace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_tests::installation::repository;
use proc_macro2::Span;
use serde_json::Value;
use syn::spanned::Spanned;
use syn::visit::Visit;

const MOST_LINES: usize = 600;
const MOST_LINES_OF_A_FUNCTION: usize = 100;

#[test]
fn every_source_file_is_tidy() -> anyhow::Result<()> {
    let mut complaints = Vec::new();
    let files = sources(&repository())?;
    assert!(
        files.len() > 20,
        "only {} source files were found",
        files.len()
    );
    for file in files {
        let text = fs::read_to_string(&file)?;
        let mut complain = |line: usize, what: &str| {
            complaints.push(format!("{}:{line}: {what}", file.display()));
        };
        if !text.starts_with("//! ") {
            complain(
                1,
                "the first line must be `//!` and say what the file is for",
            );
        }
        if text.lines().count() > MOST_LINES {
            complain(MOST_LINES, "the file is too long");
        }
        for (index, line) in text.lines().enumerate() {
            if line.ends_with([' ', '\t']) {
                complain(index + 1, "trailing white space");
            }
        }
        for (name, span) in functions(&syn::parse_file(&text)?) {
            if span.end().line - span.start().line > MOST_LINES_OF_A_FUNCTION {
                complain(
                    span.start().line,
                    &format!("the function {name} is too long"),
                );
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}

/// What each crate of ours may link of the others. Never: spawner -> hub, training -> kernel, tests -> any of them.
const EDGES: [(&str, &[&str]); 28] = [
    ("carrel-analyzer", &["carrel-protocol"]),
    ("carrel-cell", &[]),
    (
        "carrel-dashboard",
        &["carrel-jobs", "carrel-report", "carrel-service"],
    ),
    ("carrel-gateway", &["carrel-proxy", "carrel-service"]),
    (
        "carrel-hub",
        &["carrel-proxy", "carrel-skip", "carrel-spawner"],
    ),
    ("carrel-inference", &[]),
    ("carrel-jobs", &[]),
    (
        "carrel-jobs-service",
        &[
            "carrel-jobs",
            "carrel-operator",
            "carrel-report",
            "carrel-service",
            "carrel-spawner",
        ],
    ),
    (
        "carrel-kernel",
        &["carrel-cell", "carrel-protocol", "carrel-zmtp"],
    ),
    ("carrel-model-server", &["carrel-inference", "carrel-tls"]),
    ("carrel-onnx", &[]),
    ("carrel-operator", &["carrel-jobs", "carrel-service"]),
    ("carrel-plot", &[]),
    (
        "carrel-prelude",
        &[
            "carrel-onnx",
            "carrel-plot",
            "carrel-protocol",
            "carrel-ranks",
            "carrel-report",
            "carrel-runtime",
            "carrel-training",
        ],
    ),
    ("carrel-protocol", &[]),
    ("carrel-proxy", &["carrel-tls"]),
    ("carrel-ranks", &[]),
    ("carrel-report", &[]),
    ("carrel-runtime", &[]),
    ("carrel-service", &[]),
    ("carrel-skip", &[]),
    ("carrel-spawner", &[]),
    ("carrel-tests", &["carrel-skip"]),
    ("carrel-tls", &[]),
    ("carrel-train", &["carrel-training"]),
    (
        "carrel-training",
        &["carrel-onnx", "carrel-ranks", "carrel-report"],
    ),
    (
        "carrel-worker",
        &["carrel-prelude", "carrel-protocol", "carrel-runtime"],
    ),
    ("carrel-zmtp", &[]),
];

#[test]
fn crates_depend_downwards_only() -> anyhow::Result<()> {
    let mut complaints = Vec::new();
    let mut found = 0;
    for package in packages()? {
        found += 1;
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            complaints.push(format!("{name} is not among the crates of {}", file!()));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        // By the path, whatever the manifest calls it; what tests alone link is their own affair.
        let ours = dependencies.filter(|one| !one["path"].is_null() && one["kind"] != "dev");
        for one in ours.filter_map(|one| one["name"].as_str()) {
            if !allowed.contains(&one) {
                complaints.push(format!("{name} must not depend on {one}"));
            }
        }
    }
    assert_eq!(found, EDGES.len(), "a crate of the table is gone");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    Ok(())
}

/// All crates of the workspace, as `cargo metadata` has them.
pub fn packages() -> anyhow::Result<Vec<Value>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    let mut metadata: Value = serde_json::from_slice(&output.stdout)?;
    Ok(serde_json::from_value(metadata["packages"].take())?)
}

/// All files of Rust below a folder, but what is generated.
pub fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir()
            && !name.starts_with('.')
            && !["target", "test-output"].contains(&name.as_str())
        {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn functions(file: &syn::File) -> Vec<(String, Span)> {
    struct Functions(Vec<(String, Span)>);
    impl<'ast> Visit<'ast> for Functions {
        fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
            self.0
                .push((function.sig.ident.to_string(), function.span()));
            syn::visit::visit_item_fn(self, function);
        }
        fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
            self.0
                .push((function.sig.ident.to_string(), function.span()));
            syn::visit::visit_impl_item_fn(self, function);
        }
    }
    let mut found = Functions(Vec::new());
    found.visit_file(file);
    found.0
}
