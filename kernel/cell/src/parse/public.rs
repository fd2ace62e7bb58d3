//! Where `pub` is to be put, so that later cells, which are crates of their own, see everything of an item.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{
    Block, Expr, Fields, ForeignItem, ImplItem, Item, ItemMod, ItemUse, UseTree, VisRestricted,
    Visibility,
};

use super::{Edits, calls, extern_crate};

pub const PUB: &str = "pub ";
pub const PUB_FOR_NARROWER: &str = "pub";
pub const EXPORTED: &str = "#[macro_export] ";

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
        Item::Mod(item) => {
            match &item.unsafety {
                Some(token) => publish(&mut found, &item.vis, token),
                None => publish(&mut found, &item.vis, &item.mod_token),
            }
            let mut widen = Widen {
                depth: 0,
                found: &mut found,
                macros: Vec::new(),
            };
            widen.visit_item_mod(item);
        }
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

/// Within modules only what is meant for the whole notebook becomes public.
struct Widen<'a> {
    depth: usize,
    found: &'a mut Edits,
    /// Those of the module, which a crate keeps for itself.
    macros: Vec<String>,
}

impl Widen<'_> {
    fn is_for_notebook(&self, narrow: &VisRestricted) -> bool {
        let mut path = narrow.path.segments.iter();
        let length = narrow.path.segments.len();
        narrow.path.is_ident("crate")
            || length == self.depth && path.all(|segment| segment.ident == "super")
    }
}

impl<'ast> Visit<'ast> for Widen<'_> {
    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if self.depth > 0 {
            self.visit_visibility(&item.vis);
        }
        let Some((_, items)) = &item.content else {
            return;
        };
        let macros = items.iter().filter_map(|item| match item {
            Item::Macro(item) => item.ident.as_ref().map(ToString::to_string),
            _ => None,
        });
        let outer = std::mem::replace(&mut self.macros, macros.collect());
        self.depth += 1;
        items.iter().for_each(|item| self.visit_item(item));
        self.depth -= 1;
        self.macros = outer;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        // `pub(crate) use name` of a macro is as far as it can go.
        let is_macro = match &item.tree {
            UseTree::Name(name) => self.macros.iter().any(|other| name.ident == other),
            UseTree::Rename(name) => self.macros.iter().any(|other| name.ident == other),
            _ => false,
        };
        if !is_macro {
            visit::visit_item_use(self, item);
        }
    }

    fn visit_visibility(&mut self, visibility: &'ast Visibility) {
        if let Visibility::Restricted(narrow) = visibility
            && self.is_for_notebook(narrow)
        {
            let range = narrow.span().byte_range();
            self.found.push((range, PUB_FOR_NARROWER.into()));
        }
    }

    // What is in there is seen nowhere else.
    fn visit_block(&mut self, _: &'ast Block) {}
    fn visit_expr(&mut self, _: &'ast Expr) {}
}

fn is_exported(item: &syn::ItemMacro) -> bool {
    item.attrs
        .iter()
        .any(|attribute| attribute.path().is_ident("macro_export"))
}
