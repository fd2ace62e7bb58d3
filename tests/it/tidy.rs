//! Rules that hold for every source file of the workspace.

use std::fs;
use std::path::{Path, PathBuf};

use carrel_tests::installation::repository;
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::Visit;

const MOST_LINES: usize = 600;
const MOST_LINES_OF_A_FUNCTION: usize = 100;

#[test]
fn every_source_file_is_tidy() -> anyhow::Result<()> {
    let mut complaints = Vec::new();
    let files = sources(repository())?;
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

/// Never: spawner -> hub, training -> kernel, tests -> any crate of ours.
#[test]
fn crates_depend_downwards_only() -> anyhow::Result<()> {
    let allowed: [(&str, &[&str]); 14] = [
        ("hub", &["carrel-proxy", "carrel-spawner"]),
        ("hub/proxy", &[]),
        ("spawner", &[]),
        ("kernel", &["carrel-protocol"]),
        ("kernel/analyzer", &["carrel-protocol"]),
        ("kernel/plot", &[]),
        ("kernel/protocol", &[]),
        ("kernel/runtime", &[]),
        (
            "kernel/prelude",
            &[
                "carrel-plot",
                "carrel-protocol",
                "carrel-runtime",
                "carrel-training",
            ],
        ),
        (
            "kernel/worker",
            &["carrel-prelude", "carrel-protocol", "carrel-runtime"],
        ),
        ("training", &["carrel-runtime"]),
        ("training/worker", &["carrel-training"]),
        ("tests", &[]),
        ("tests/skip", &[]),
    ];
    for (folder, allowed) in allowed {
        let manifest = fs::read_to_string(repository().join(folder).join("Cargo.toml"))?;
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        for line in dependencies
            .lines()
            .filter(|line| line.starts_with("carrel-"))
        {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(
                allowed.contains(&name),
                "{folder} must not depend on {name}"
            );
        }
    }
    Ok(())
}

fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
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
