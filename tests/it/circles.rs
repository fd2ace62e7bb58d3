//! Circles between the files of one crate: there are none but those that are listed here with a reason. A file and those in
//! its folder are one room: what it takes from them counts for no circle, what they take from others does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use crate::tidy;

/// Crate, files, why.
const KNOWN: [(&str, &[&str], &str); 4] = [
    (
        "carrel-spawner",
        &["kube::options", "kube::overrides", "kube::profiles"],
        "a profile is made of options, and the list of profiles is one",
    ),
    (
        "carrel-kernel",
        &[
            "rust_engine::notebook::session",
            "rust_engine::worker::late",
        ],
        "a panic between cells is told with the session's sources",
    ),
    (
        "carrel-cell",
        &["parse::calls", "parse::public"],
        "items that become public hold macros, and the rules of macros items",
    ),
    (
        "carrel-cell",
        &["parse::macros", "parse::rounds", "parse::ticks"],
        "an expression holds macros, and a macro expressions",
    ),
];

#[test]
fn files_lead_to_each_other_in_one_direction() -> anyhow::Result<()> {
    let mut found = BTreeSet::new();
    for package in tidy::packages()? {
        let name = package["name"].as_str().unwrap_or_default().to_owned();
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let sources = Path::new(manifest).with_file_name("src");
        for circle in circles(&edges(&sources)?) {
            found.insert((name.clone(), circle));
        }
    }
    let known = KNOWN.map(|(name, files, reason)| {
        assert!(!reason.is_empty(), "{name}: {files:?} has no reason");
        let files = files
            .iter()
            .map(|file| file.split("::").map(str::to_owned).collect());
        (name.to_owned(), files.collect::<Circle>())
    });
    let known = BTreeSet::from(known);
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "circles: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "no circles any more: {gone:#?}");
    Ok(())
}

#[test]
fn circles_are_found_by_paths_of_every_kind() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text);
    fs::create_dir(folder.path().join("one"))?;
    write("lib.rs", "mod one; mod two; mod three;")?;
    write("one.rs", "mod inner; use inner::f;")?;
    write(
        "one/inner.rs",
        "use super::super::{three, two::{self, Two}}; pub(super) fn f() {}",
    )?;
    write("two.rs", "fn f() { println!(\"{}\", [crate::three::F]) }")?;
    write(
        "three.rs",
        "use crate::one::inner::f; #[cfg(test)] mod tests { use crate::two; }",
    )?;
    let names = |circle: Circle| {
        circle
            .iter()
            .map(|file| file.join("::"))
            .collect::<Vec<_>>()
    };
    let found: Vec<_> = circles(&edges(folder.path())?)
        .into_iter()
        .map(names)
        .collect();
    assert_eq!(found, [["one::inner", "three", "two"]]);
    Ok(())
}

/// A file, by the path of its module.
type File = Vec<String>;
type Circle = Vec<File>;
/// The files of a crate, each with those that it names.
type Edges = BTreeMap<File, BTreeSet<File>>;

fn edges(sources: &Path) -> anyhow::Result<Edges> {
    let mut files = BTreeMap::new();
    for path in tidy::sources(sources)? {
        files.insert(module(sources, &path)?, path);
    }
    let known: BTreeSet<File> = files.keys().cloned().collect();
    let mut edges = Edges::new();
    for (module, path) in files {
        let file = syn::parse_file(&fs::read_to_string(&path)?)?;
        let mut named = BTreeSet::new();
        for item in file.items.iter().filter(|item| !only_in_tests(item)) {
            names(&module, item.to_token_stream(), &mut named);
        }
        let named = named.into_iter().map(|path| nearest(path, &known));
        let others = named.filter(|other| !other.starts_with(&module)).collect();
        edges.insert(module, others);
    }
    Ok(edges)
}

/// Sets of files of which each leads to each other one.
fn circles(edges: &Edges) -> BTreeSet<Circle> {
    let reach: BTreeMap<_, _> = edges
        .keys()
        .map(|file| (file, reached(file, edges)))
        .collect();
    let circle = |file: &&File| -> Circle {
        let back = |other: &&File| {
            reach
                .get(other)
                .is_some_and(|reached| reached.contains(*file))
        };
        reach[*file].iter().filter(back).cloned().collect()
    };
    let circles = edges.keys().map(|file| circle(&file));
    circles.filter(|circle| circle.len() > 1).collect()
}

fn reached(from: &File, edges: &Edges) -> BTreeSet<File> {
    let mut seen = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for other in edges.get(file).into_iter().flatten() {
            if seen.insert(other.clone()) {
                next.push(other);
            }
        }
    }
    seen
}

/// `a::b` for `a/b.rs`; the root of the crate has no name.
fn module(sources: &Path, file: &Path) -> anyhow::Result<File> {
    let inner = file.strip_prefix(sources)?.with_extension("");
    let names = inner.iter().map(|name| name.to_string_lossy().into_owned());
    let names: File = names.collect();
    let is_root = names == ["lib"] || names == ["main"];
    Ok(if is_root { Vec::new() } else { names })
}

fn only_in_tests(item: &syn::Item) -> bool {
    let of_tests = |attribute: &syn::Attribute| {
        attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
    };
    matches!(item, syn::Item::Mod(module) if module.attrs.iter().any(of_tests))
}

/// The longest beginning of a path that is a file.
fn nearest(mut path: File, known: &BTreeSet<File>) -> File {
    while !known.contains(&path) && !path.is_empty() {
        path.pop();
    }
    path
}

/// Every path from `crate`, `self` or `super` in these tokens, those in groups of a `use` and in macros too.
fn names(module: &[String], tokens: TokenStream, found: &mut BTreeSet<File>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => names(module, group.stream(), found),
            TokenTree::Ident(word) => {
                // Not within a path, and not the word alone, as in `pub(super)`.
                let inside = index > 0 && is_colon(&tokens[index - 1]);
                let alone = !tokens.get(index + 1).is_some_and(is_colon);
                let start = start(module, &word.to_string()).filter(|_| !inside && !alone);
                if let Some(mut from) = start {
                    path(&mut from, &tokens[index + 1..], found);
                }
            }
            _ => {}
        }
    }
}

fn start(module: &[String], word: &str) -> Option<File> {
    match word {
        "crate" => Some(Vec::new()),
        "self" => Some(module.to_vec()),
        "super" => Some(module[..module.len().saturating_sub(1)].to_vec()),
        _ => None,
    }
}

/// Follows `:: name`, `:: super` and `:: { .. }` from a module on.
fn path(from: &mut File, mut rest: &[TokenTree], found: &mut BTreeSet<File>) {
    while let [first, second, third, after @ ..] = rest
        && is_colon(first)
        && is_colon(second)
    {
        match third {
            TokenTree::Ident(word) if word == "super" => drop(from.pop()),
            TokenTree::Ident(word) => from.push(word.to_string()),
            TokenTree::Group(group) => return branches(from, group.stream(), found),
            _ => break,
        }
        rest = after;
    }
    found.insert(from.clone());
}

fn branches(from: &File, group: TokenStream, found: &mut BTreeSet<File>) {
    let tokens: Vec<TokenTree> = group.into_iter().collect();
    let is_comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    for part in tokens.split(is_comma) {
        let mut branch = from.clone();
        if let [TokenTree::Ident(word), rest @ ..] = part {
            match word.to_string().as_str() {
                "self" => {}
                "super" => drop(branch.pop()),
                name => branch.push(name.to_owned()),
            }
            path(&mut branch, rest, found);
        }
    }
}

fn is_colon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':')
}
