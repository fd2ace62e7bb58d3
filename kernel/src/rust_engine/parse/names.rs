//! The names that an item brings into scope.

use std::ops::Range;

use syn::spanned::Spanned;
use syn::{Item, UseTree};

/// The type or module that an item defines, whose values a later definition of that name leaves behind.
pub fn defined_type(item: &Item) -> Option<String> {
    let name = match item {
        Item::Struct(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Mod(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
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
    Some(vec![name.to_string()])
}

/// False if the tree has a glob.
fn used_names(tree: &UseTree, names: &mut Vec<String>) -> bool {
    match tree {
        UseTree::Path(path) => used_names(&path.tree, names),
        UseTree::Name(name) => {
            names.push(name.ident.to_string());
            true
        }
        UseTree::Rename(rename) => {
            names.push(rename.rename.to_string());
            true
        }
        UseTree::Glob(_) => false,
        UseTree::Group(group) => group.items.iter().all(|tree| used_names(tree, names)),
    }
}

/// The type of an `impl Rich for Type`, if neither has parameters.
pub fn rich_type(item: &Item) -> Option<Range<usize>> {
    let Item::Impl(item) = item else { return None };
    let (path, _) = item.trait_.as_ref()?;
    let is_rich = path.segments.last()?.ident == "Rich" && item.generics.params.is_empty();
    is_rich.then(|| item.self_ty.span().byte_range())
}
