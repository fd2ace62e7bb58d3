//! The names that an item brings into scope.

use std::ops::Range;

use syn::spanned::Spanned;
use syn::{Ident, Item, ItemUse, UseTree};

/// `mine` of `use mine::*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    pub path: String,
    /// Where it ends, with the star.
    pub end: usize,
}

/// An identifier as it is told apart from others: `r#x` is `x`, unless that is a keyword.
pub fn name_of(ident: &Ident) -> String {
    let text = ident.to_string();
    match text.strip_prefix("r#") {
        // A keyword since the 2024 edition only.
        Some(plain) if plain != "gen" && syn::parse_str::<Ident>(plain).is_ok() => plain.to_owned(),
        _ => text,
    }
}

/// The type or module that an item defines, whose values a later definition of that name leaves behind.
pub fn defined_type(item: &Item) -> Option<String> {
    let name = match item {
        Item::Struct(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Mod(item) => &item.ident,
        _ => return None,
    };
    Some(name_of(name))
}

/// All names; none if they cannot be known, as of `use path::*`.
pub fn names(item: &Item) -> Option<Vec<String>> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Impl(_) => return Some(Vec::new()),
        Item::ExternCrate(item) => {
            let mut attributes = item.attrs.iter();
            let macros = attributes.any(|attribute| attribute.path().is_ident("macro_use"));
            let name = item.rename.iter().map(|(_, name)| name.to_string());
            return (!macros).then(|| name.collect());
        }
        Item::Use(item) => {
            let mut names = Vec::new();
            return used_names(&item.tree, &mut names).then_some(names);
        }
        _ => return defined_type(item).map(|name| vec![name]),
    };
    Some(vec![name_of(name)])
}

/// False if the tree has a glob.
fn used_names(tree: &UseTree, names: &mut Vec<String>) -> bool {
    match tree {
        UseTree::Path(path) => used_names(&path.tree, names),
        UseTree::Name(name) => {
            names.push(name_of(&name.ident));
            true
        }
        UseTree::Rename(rename) => {
            names.push(name_of(&rename.rename));
            true
        }
        UseTree::Glob(_) => false,
        UseTree::Group(group) => group.items.iter().all(|tree| used_names(tree, names)),
    }
}

/// The globs of a `use`.
pub fn globs(item: &ItemUse) -> Vec<Glob> {
    let root = item.leading_colon.map_or("", |_| "::");
    let mut globs = Vec::new();
    add_globs(&item.tree, root, &mut globs);
    globs
}

fn add_globs(tree: &UseTree, before: &str, globs: &mut Vec<Glob>) {
    match tree {
        UseTree::Path(path) => {
            let before = format!("{before}{}::", path.ident);
            add_globs(&path.tree, &before, globs);
        }
        UseTree::Glob(glob) => globs.push(Glob {
            path: before.trim_end_matches("::").to_owned(),
            end: glob.span().byte_range().end,
        }),
        UseTree::Group(group) => {
            for tree in &group.items {
                add_globs(tree, before, globs);
            }
        }
        UseTree::Name(_) | UseTree::Rename(_) => {}
    }
}

/// The type of an `impl Rich for Type`, if neither has parameters.
pub fn rich_type(item: &Item) -> Option<Range<usize>> {
    let Item::Impl(item) = item else { return None };
    let (path, _) = item.trait_.as_ref()?;
    let is_rich = path.segments.last()?.ident == "Rich" && item.generics.params.is_empty();
    is_rich.then(|| item.self_ty.span().byte_range())
}
