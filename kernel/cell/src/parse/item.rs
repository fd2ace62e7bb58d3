//! The items of a cell, and what must be known of them to compile them again in another crate.

use std::collections::HashSet;
use std::ops::Range;

use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Item, Lit, MetaNameValue, Token};

use super::impls::{self, Impl};
use super::symbols::{self, Symbol};
use super::{Glob, Part, collect_words, names, public, ticks, values};

#[derive(Debug, Clone)]
pub struct ItemPart {
    /// The edits make it visible for later cells, and let it be interrupted.
    pub part: Part,
    /// The type or module that it defines.
    pub defines: Option<String>,
    /// The type for which it implements `Rich`, if that has no parameters.
    pub rich: Option<Range<usize>>,
    /// All names that it defines, if they can be known.
    pub names: Option<Vec<String>>,
    /// Identifiers in it.
    pub words: HashSet<String>,
    /// Impls within it, of types or for traits that are not.
    pub nested: Vec<Impl>,
    /// What it exports by a name of its own.
    pub symbols: Vec<Symbol>,
    pub kind: ItemKind,
}

/// What must be known of an item to compile it again in another crate.
#[derive(Debug, Clone)]
pub enum ItemKind {
    Impl(Impl),
    Macro(MacroItem),
    /// With its name and the identifiers of its type.
    Static(String, HashSet<String>),
    /// An `extern` block with the libraries that it names.
    Foreign(Vec<Link>),
    /// With its globs.
    Use(Vec<Glob>),
    ExternCrate(ExternCrate),
    /// `type`
    Alias,
    Trait,
    /// A call of a macro with braces, as long as nothing tells that it makes statements; the identifiers in them.
    Call(HashSet<String>),
    Other,
}

impl ExternCrate {
    /// The same as an import, unless only `extern crate` does: the compiler tells types by the name that this gives to
    /// the crate, which later cells do not have.
    pub fn as_use(&self) -> Option<String> {
        let special = ["self", "alloc", "proc_macro", "test"];
        let Self {
            krate,
            name,
            macros,
        } = self;
        match special.contains(&&**krate) || *macros {
            true => None,
            // The name is there anyway.
            false if krate == name => Some(String::new()),
            false => Some(format!("use ::{krate} as {name};")),
        }
    }
}

/// A `macro_rules!`.
#[derive(Debug, Clone)]
pub struct MacroItem {
    pub name: String,
    /// Where its name stands.
    pub place: Range<usize>,
    /// A call of it with braces is an expression.
    pub makes_value: bool,
}

/// `extern crate krate as name;`, without `as` of the same name.
#[derive(Debug, Clone)]
pub struct ExternCrate {
    pub krate: String,
    pub name: String,
    /// `#[macro_use]`: its macros are there without a path.
    pub macros: bool,
}

/// `#[link(name = "..")]`
#[derive(Debug, Clone)]
pub struct Link {
    pub library: String,
    /// Of the attribute.
    pub range: Range<usize>,
}

impl ItemKind {
    /// Adds a macro that has a value; one that has none takes the place of an earlier one that has.
    pub fn note_macro(&self, value_macros: &mut HashSet<String>) {
        if let Self::Macro(item) = self {
            match item.makes_value {
                true => _ = value_macros.insert(item.name.clone()),
                false => _ = value_macros.remove(&item.name),
            }
        }
    }
}

impl ItemPart {
    pub fn of(item: &Item, code: &str, optimized: bool) -> Self {
        let mut words = HashSet::new();
        collect_words(item.to_token_stream(), &mut words);
        let mut edits = public::edits(item);
        edits.extend(ticks::in_item(item, code, optimized));
        Self {
            part: Part::new(item.span().byte_range(), edits),
            defines: names::defined_type(item),
            rich: names::rich_type(item),
            names: names::names(item),
            words,
            nested: impls::nested(item),
            symbols: symbols::of(item),
            kind: item_kind(item),
        }
    }

    /// Its impls, also those within it.
    pub fn impls(&self) -> impl Iterator<Item = &Impl> {
        let own = match &self.kind {
            ItemKind::Impl(own) => Some(own),
            _ => None,
        };
        own.into_iter().chain(&self.nested)
    }

    pub fn extern_crate(&self) -> Option<&ExternCrate> {
        match &self.kind {
            ItemKind::ExternCrate(found) => Some(found),
            _ => None,
        }
    }
}

fn item_kind(item: &Item) -> ItemKind {
    match item {
        Item::Impl(item) => ItemKind::Impl(impls::of(item)),
        Item::Macro(syn::ItemMacro {
            ident: Some(name),
            mac,
            ..
        }) => ItemKind::Macro(MacroItem {
            name: names::name_of(name),
            place: name.span().byte_range(),
            makes_value: values::makes_value(&mac.tokens),
        }),
        Item::Static(item) => {
            let mut words = HashSet::new();
            collect_words(item.ty.to_token_stream(), &mut words);
            ItemKind::Static(item.ident.to_string(), words)
        }
        Item::ForeignMod(item) => ItemKind::Foreign(item.attrs.iter().filter_map(link).collect()),
        Item::Use(item) => ItemKind::Use(names::globs(item)),
        Item::ExternCrate(item) => ItemKind::ExternCrate(extern_crate(item)),
        Item::Type(_) => ItemKind::Alias,
        Item::Trait(_) | Item::TraitAlias(_) => ItemKind::Trait,
        _ => ItemKind::Other,
    }
}

pub fn extern_crate(item: &syn::ItemExternCrate) -> ExternCrate {
    let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
    let mut attributes = item.attrs.iter();
    ExternCrate {
        krate: item.ident.to_string(),
        name: name.to_string(),
        macros: attributes.any(|attribute| attribute.path().is_ident("macro_use")),
    }
}

fn link(attribute: &Attribute) -> Option<Link> {
    let arguments = Punctuated::<MetaNameValue, Token![,]>::parse_terminated;
    let arguments = attribute
        .path()
        .is_ident("link")
        .then(|| attribute.parse_args_with(arguments));
    arguments?
        .ok()?
        .into_iter()
        .find_map(|argument| match &argument.value {
            Expr::Lit(ExprLit {
                lit: Lit::Str(library),
                ..
            }) if argument.path.is_ident("name") => Some(Link {
                library: library.value(),
                range: attribute.span().byte_range(),
            }),
            _ => None,
        })
}
