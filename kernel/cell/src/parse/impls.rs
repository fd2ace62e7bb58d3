//! What an `impl` is for: its type and trait, of which one must be in the same crate.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Block, GenericArgument, ImplItem, Item, ItemImpl, ItemMod, Path, PathArguments, PathSegment,
    Stmt, Type, TypeParamBound,
};

use super::collect_words;
use super::names::{self, name_of};

#[derive(Debug, Clone)]
pub struct Impl {
    /// All before the braces, without `crate::` and the like. Of two impls with the same header for the same type, the
    /// newer one counts.
    pub header: String,
    pub of_trait: bool,
    /// The type and the trait, and types that the trait is generic over: one of them must be in the crate.
    pub heads: Vec<String>,
    /// What it defines, with its place.
    pub members: Vec<(String, Range<usize>)>,
    /// Of these what other types may be made with: types, constants, and functions that make constants.
    pub fixed: BTreeMap<String, Fixed>,
    pub range: Range<usize>,
}

/// A member of an `impl` that other types may be made with.
#[derive(Debug, Clone)]
pub struct Fixed {
    pub text: String,
    pub words: HashSet<String>,
    pub is_constant: bool,
}

pub fn of(item: &ItemImpl) -> Impl {
    let mut header = ItemImpl {
        attrs: Vec::new(),
        items: Vec::new(),
        ..item.clone()
    };
    Plain.visit_item_impl_mut(&mut header);
    let mut heads = Vec::new();
    if let Some((path, _)) = &item.trait_ {
        heads.extend(head(path));
        path.segments
            .iter()
            .for_each(|segment| argument_heads(segment, &mut heads));
    }
    type_heads(&item.self_ty, &mut heads);
    Impl {
        header: header.to_token_stream().to_string(),
        of_trait: item.trait_.is_some(),
        heads,
        members: item.items.iter().filter_map(member).collect(),
        fixed: item.items.iter().filter_map(fixed).collect(),
        range: item.span().byte_range(),
    }
}

/// The impls within an item, in a module or among the statements of a function, but for those of types and traits that
/// are defined in there too.
pub fn nested(item: &Item) -> Vec<Impl> {
    let mut nested = Nested::default();
    match item {
        Item::Impl(item) => visit::visit_item_impl(&mut nested, item),
        item => nested.visit_item(item),
    }
    nested.found
}

#[derive(Default)]
struct Nested {
    found: Vec<Impl>,
    /// What each module or block around defines; with the words of what it only gives another name.
    around: Vec<HashMap<String, Option<HashSet<String>>>>,
}

impl Nested {
    fn within<'a>(&mut self, items: impl Iterator<Item = &'a Item>, inner: impl FnOnce(&mut Self)) {
        let mut defined = HashMap::new();
        for item in items {
            let other_names = matches!(item, Item::Use(_) | Item::Type(_)).then(|| {
                let mut words = HashSet::new();
                collect_words(item.to_token_stream(), &mut words);
                words
            });
            let names = names::names(item).unwrap_or_default();
            defined.extend(names.into_iter().map(|name| (name, other_names.clone())));
        }
        self.around.push(defined);
        inner(self);
        self.around.pop();
    }

    /// With what stands behind names that the modules around give; none if one is of theirs alone.
    fn outer(&self, heads: Vec<String>) -> Option<Vec<String>> {
        let mut outer = Vec::new();
        for head in heads {
            match self.around.iter().rev().find_map(|names| names.get(&head)) {
                Some(None) => return None,
                Some(Some(words)) => outer.extend(words.iter().cloned()),
                None => outer.push(head),
            }
        }
        Some(outer)
    }
}

impl<'ast> Visit<'ast> for Nested {
    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let found = of(item);
        if let Some(heads) = self.outer(found.heads.clone()) {
            self.found.push(Impl { heads, ..found });
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let items = item.content.iter().flat_map(|(_, items)| items);
        self.within(items, |inner| visit::visit_item_mod(inner, item));
    }

    fn visit_block(&mut self, block: &'ast Block) {
        let items = block.stmts.iter().filter_map(|statement| match statement {
            Stmt::Item(item) => Some(item),
            _ => None,
        });
        self.within(items, |inner| visit::visit_block(inner, block));
    }
}

/// Takes `crate::`, `self::` and `super::` from paths.
struct Plain;

impl VisitMut for Plain {
    fn visit_path_mut(&mut self, path: &mut Path) {
        let named = path
            .segments
            .iter()
            .position(|segment| !is_relative(segment));
        if let Some(at @ 1..) = named {
            let segments = std::mem::replace(&mut path.segments, Punctuated::new());
            path.segments = segments.into_iter().skip(at).collect();
        }
        visit_mut::visit_path_mut(self, path);
    }
}

fn is_relative(segment: &PathSegment) -> bool {
    ["crate", "self", "super"]
        .iter()
        .any(|word| segment.ident == word)
}

/// The first name of a path that is not only the way to it.
fn head(path: &Path) -> Option<String> {
    let mut named = path.segments.iter().filter(|segment| !is_relative(segment));
    named.next().map(|segment| name_of(&segment.ident))
}

fn fixed(item: &ImplItem) -> Option<(String, Fixed)> {
    let name = match item {
        ImplItem::Const(item) => &item.ident,
        ImplItem::Type(item) => &item.ident,
        ImplItem::Fn(item) if item.sig.constness.is_some() => &item.sig.ident,
        _ => return None,
    };
    let mut words = HashSet::new();
    collect_words(item.to_token_stream(), &mut words);
    let fixed = Fixed {
        text: item.to_token_stream().to_string(),
        words,
        is_constant: matches!(item, ImplItem::Const(_)),
    };
    Some((name_of(name), fixed))
}

fn member(item: &ImplItem) -> Option<(String, Range<usize>)> {
    let name = match item {
        ImplItem::Const(item) => &item.ident,
        ImplItem::Fn(item) => &item.sig.ident,
        ImplItem::Type(item) => &item.ident,
        _ => return None,
    };
    Some((name_of(name), item.span().byte_range()))
}

fn type_heads(r#type: &Type, heads: &mut Vec<String>) {
    match r#type {
        Type::Path(path) => {
            heads.extend(head(&path.path));
            let Some(first) = path.path.segments.first() else {
                return;
            };
            // What the language calls fundamental: a box or a pin of a local type is local.
            if first.ident == "Box" || first.ident == "Pin" {
                argument_heads(first, heads);
            }
        }
        Type::Reference(reference) => type_heads(&reference.elem, heads),
        Type::Paren(paren) => type_heads(&paren.elem, heads),
        Type::TraitObject(object) => {
            for bound in &object.bounds {
                if let TypeParamBound::Trait(bound) = bound {
                    heads.extend(head(&bound.path));
                }
            }
        }
        _ => {}
    }
}

fn argument_heads(segment: &PathSegment, heads: &mut Vec<String>) {
    if let PathArguments::AngleBracketed(arguments) = &segment.arguments {
        for argument in &arguments.args {
            if let GenericArgument::Type(r#type) = argument {
                type_heads(r#type, heads);
            }
        }
    }
}
