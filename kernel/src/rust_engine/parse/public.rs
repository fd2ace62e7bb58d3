//! Where `pub` is to be put, so that later cells, which are crates of their own, see everything of an item.

use syn::spanned::Spanned;
use syn::{Fields, ForeignItem, ImplItem, Item, Visibility};

use super::{Edits, calls, extern_crate};

pub const PUB: &str = "pub ";
const PUB_FOR_NARROWER: &str = "pub";
const EXPORTED: &str = "#[macro_export] ";

/// Whether an edit of an item is one of these.
pub fn is_visibility(edit: &str) -> bool {
    [PUB, PUB_FOR_NARROWER, EXPORTED].contains(&edit)
}

pub fn edits(item: &Item) -> Edits {
    let mut found = Vec::new();
    match item {
        Item::Const(item) => publish(&mut found, &item.vis, &item.const_token),
        Item::Enum(item) => publish(&mut found, &item.vis, &item.enum_token),
        // Later cells have it again: `:dep` may have made it another crate by then.
        Item::ExternCrate(item) => match (extern_crate(item).as_use(), &item.vis) {
            (Some(line), _) => found.push((item.span().byte_range(), line.into())),
            (None, Visibility::Inherited) => {}
            (None, visibility) => found.push((visibility.span().byte_range(), "".into())),
        },
        Item::Fn(item) => publish(&mut found, &item.vis, &item.sig),
        Item::Mod(item) => match &item.unsafety {
            Some(token) => publish(&mut found, &item.vis, token),
            None => publish(&mut found, &item.vis, &item.mod_token),
        },
        Item::Static(item) => publish(&mut found, &item.vis, &item.static_token),
        Item::Struct(item) => {
            publish(&mut found, &item.vis, &item.struct_token);
            publish_fields(&mut found, &item.fields);
        }
        Item::Trait(item) => match &item.unsafety {
            Some(token) => publish(&mut found, &item.vis, token),
            None => publish(&mut found, &item.vis, &item.trait_token),
        },
        Item::Type(item) => publish(&mut found, &item.vis, &item.type_token),
        Item::Union(item) => {
            publish(&mut found, &item.vis, &item.union_token);
            for field in &item.fields.named {
                publish(&mut found, &field.vis, &field.ident);
            }
        }
        Item::Use(item) => publish(&mut found, &item.vis, &item.use_token),
        Item::Macro(item) if item.mac.path.is_ident("macro_rules") => {
            if !is_exported(item) {
                let start = item.span().byte_range().start;
                found.push((start..start, EXPORTED.into()));
            }
            found.extend(calls::published_rules(item));
        }
        Item::Impl(item) if item.trait_.is_none() => {
            item.items
                .iter()
                .for_each(|item| publish_method(&mut found, item));
        }
        Item::ForeignMod(item) => {
            for item in &item.items {
                match item {
                    ForeignItem::Fn(item) => publish(&mut found, &item.vis, &item.sig),
                    ForeignItem::Static(item) => publish(&mut found, &item.vis, &item.static_token),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    found
}

fn publish_fields(found: &mut Edits, fields: &Fields) {
    for field in fields {
        match &field.ident {
            Some(name) => publish(found, &field.vis, name),
            None => publish(found, &field.vis, &field.ty),
        }
    }
}

fn publish_method(found: &mut Edits, item: &ImplItem) {
    match item {
        ImplItem::Const(item) => publish(found, &item.vis, &item.const_token),
        ImplItem::Fn(item) => publish(found, &item.vis, &item.sig),
        _ => {}
    }
}

/// Puts `pub` before `first`, the token after the place of the visibility, or over a narrower one: `pub(crate)`
/// means the notebook.
fn publish(found: &mut Edits, visibility: &Visibility, first: &impl Spanned) {
    let start = first.span().byte_range().start;
    match visibility {
        Visibility::Public(_) => {}
        Visibility::Inherited => found.push((start..start, PUB.into())),
        Visibility::Restricted(narrow) => {
            found.push((narrow.span().byte_range(), PUB_FOR_NARROWER.into()))
        }
    }
}

fn is_exported(item: &syn::ItemMacro) -> bool {
    item.attrs
        .iter()
        .any(|attribute| attribute.path().is_ident("macro_export"))
}
