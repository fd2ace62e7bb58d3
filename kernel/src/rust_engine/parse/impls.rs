//! What an `impl` is for: its type and trait, of which one must be in the same crate.

use std::ops::Range;

use quote::ToTokens;
use syn::spanned::Spanned;
use syn::{GenericArgument, ImplItem, ItemImpl, PathArguments, PathSegment, Type, TypeParamBound};

#[derive(Debug, Clone)]
pub struct Impl {
    /// All before the braces. Of two impls with the same header for the same type, the newer one counts.
    pub header: String,
    pub of_trait: bool,
    /// The type and the trait, and types that the trait is generic over: one of them must be in the crate.
    pub heads: Vec<String>,
    /// What it defines, with its place.
    pub members: Vec<(String, Range<usize>)>,
}

pub fn of(item: &ItemImpl) -> Impl {
    let header = ItemImpl {
        attrs: Vec::new(),
        items: Vec::new(),
        ..item.clone()
    };
    let mut heads = Vec::new();
    if let Some((path, _)) = &item.trait_ {
        heads.extend(path.segments.first().map(|first| first.ident.to_string()));
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
    }
}

fn member(item: &ImplItem) -> Option<(String, Range<usize>)> {
    let name = match item {
        ImplItem::Const(item) => &item.ident,
        ImplItem::Fn(item) => &item.sig.ident,
        ImplItem::Type(item) => &item.ident,
        _ => return None,
    };
    Some((name.to_string(), item.span().byte_range()))
}

fn type_heads(r#type: &Type, heads: &mut Vec<String>) {
    match r#type {
        Type::Path(path) => {
            let Some(first) = path.path.segments.first() else {
                return;
            };
            heads.push(first.ident.to_string());
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
                    let first = bound.path.segments.first();
                    heads.extend(first.map(|first| first.ident.to_string()));
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
