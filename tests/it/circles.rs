//! Circles between the files of one crate: each is listed with its reason, or there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

/// The files of a crate, by their module's path below the root, with what each names.
pub type Files = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// The modules of a crate whose root lies in this folder of sources, each with the others that it names.
pub fn files(folder: &Path) -> anyhow::Result<Files> {
    let mut sources = BTreeMap::new();
    collect(folder, &[], &mut sources)?;
    let known: BTreeSet<Vec<String>> = sources.keys().cloned().collect();
    let mut files = Files::new();
    for (module, path) in sources {
        let file = syn::parse_file(&fs::read_to_string(&path)?)?;
        let mut named = BTreeSet::new();
        for item in file.items.iter().filter(|item| !only_in_tests(item)) {
            names(&module, item.to_token_stream(), &mut named);
        }
        let named = named.into_iter().map(|path| nearest(path, &known));
        let others = named.filter(|other| *other != module).collect();
        files.insert(module, others);
    }
    Ok(files)
}

/// Sets of files of which each leads to each other one, largest first.
pub fn circles(files: &Files) -> Vec<Vec<Vec<String>>> {
    let reach: BTreeMap<_, _> = files
        .keys()
        .map(|file| (file, reached(file, files)))
        .collect();
    let mut circles: BTreeSet<Vec<Vec<String>>> = BTreeSet::new();
    for (file, there) in &reach {
        let back = there.iter().filter(|other| {
            reach
                .get(other)
                .is_some_and(|reached| reached.contains(*file))
        });
        let mut circle: Vec<_> = back.cloned().collect();
        circle.sort();
        if circle.len() > 1 {
            circles.insert(circle);
        }
    }
    circles.into_iter().collect()
}

fn reached(from: &[String], files: &Files) -> BTreeSet<Vec<String>> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from.to_vec()];
    while let Some(file) = next.pop() {
        for other in files.get(&file).into_iter().flatten() {
            if seen.insert(other.clone()) {
                next.push(other.clone());
            }
        }
    }
    seen
}

fn collect(
    folder: &Path,
    module: &[String],
    sources: &mut BTreeMap<Vec<String>, PathBuf>,
) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut inner = module.to_vec();
        if !(module.is_empty() && ["lib", "main"].contains(&stem.as_str())) {
            inner.push(stem);
        }
        if path.is_dir() {
            collect(&path, &inner, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.insert(inner, path);
        }
    }
    Ok(())
}

fn only_in_tests(item: &syn::Item) -> bool {
    matches!(item, syn::Item::Mod(module) if module.attrs.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
    }))
}

/// The longest beginning of a path that is a file.
fn nearest(mut path: Vec<String>, known: &BTreeSet<Vec<String>>) -> Vec<String> {
    while !known.contains(&path) && !path.is_empty() {
        path.pop();
    }
    path
}

/// Every path from `crate`, `self` or `super` in these tokens, those in groups of a `use` and in macros too.
fn names(module: &[String], tokens: TokenStream, found: &mut BTreeSet<Vec<String>>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => names(module, group.stream(), found),
            TokenTree::Ident(word) => {
                let Some(mut from) = start(module, &word.to_string()) else {
                    continue;
                };
                let inside = index > 0 && is_colon(&tokens[index - 1]);
                if inside || !followed_by_path(&tokens[index + 1..]) {
                    continue;
                }
                path(&mut from, &tokens[index + 1..], found);
            }
            _ => {}
        }
    }
}

fn start(module: &[String], word: &str) -> Option<Vec<String>> {
    match word {
        "crate" => Some(Vec::new()),
        "self" => Some(module.to_vec()),
        "super" => Some(module[..module.len().saturating_sub(1)].to_vec()),
        _ => None,
    }
}

/// Follows `:: name`, `:: super` and `:: { .. }` from a module on.
fn path(from: &mut Vec<String>, mut rest: &[TokenTree], found: &mut BTreeSet<Vec<String>>) {
    while followed_by_path(rest) {
        match &rest[2] {
            TokenTree::Ident(word) if word == "super" => drop(from.pop()),
            TokenTree::Ident(word) => from.push(word.to_string()),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in
                    inner.split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ','))
                {
                    let mut branch = from.clone();
                    match part.first() {
                        Some(TokenTree::Ident(word)) if word != "self" => {
                            branch.push(word.to_string())
                        }
                        _ => {}
                    }
                    path(&mut branch, part.get(1..).unwrap_or_default(), found);
                }
                return;
            }
            _ => break,
        }
        rest = &rest[3..];
    }
    found.insert(from.clone());
}

fn followed_by_path(rest: &[TokenTree]) -> bool {
    rest.len() > 2 && is_colon(&rest[0]) && is_colon(&rest[1])
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':')
}

#[test]
fn survey() -> anyhow::Result<()> {
    for f in [
        "hub",
        "hub/proxy",
        "spawner",
        "kernel",
        "kernel/analyzer",
        "kernel/plot",
        "kernel/protocol",
        "kernel/runtime",
        "kernel/prelude",
        "kernel/worker",
        "training",
        "training/worker",
        "tests",
    ] {
        let fs = files(&carrel_tests::installation::repository().join(f).join("src"))?;
        for c in circles(&fs) {
            println!(
                "{f}: {}",
                c.iter()
                    .map(|m| m.join("::"))
                    .collect::<Vec<_>>()
                    .join(", ")
            );
        }
    }
    Ok(())
}
