//! What an item exports by a name of its own: `#[unsafe(no_mangle)]` and `#[unsafe(export_name = "..")]`. Of several
//! loaded cells with one name, all would run the code of the first.

use std::ops::Range;

use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, ImplItemFn, Item, ItemFn, ItemStatic, LitStr, Token};

use super::names::name_of;
use super::{ItemPart, Part};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    /// Of the attribute.
    range: Range<usize>,
}

pub fn of(item: &Item) -> Vec<Symbol> {
    let mut symbols = Symbols::default();
    symbols.visit_item(item);
    symbols.0
}

impl ItemPart {
    /// With a symbol of `cell`'s own for each that is `taken`.
    pub fn with_own_symbols(&self, cell: &str, taken: impl Fn(&str) -> bool) -> Part {
        let mut part = self.part.clone();
        for symbol in self.symbols.iter().filter(|symbol| taken(&symbol.name)) {
            let own = format!("#[unsafe(export_name = \"{}_{cell}\")]", symbol.name);
            part.edit(symbol.range.clone(), own.into());
        }
        part
    }
}

#[derive(Default)]
struct Symbols(Vec<Symbol>);

impl Symbols {
    fn add(&mut self, attributes: &[Attribute], ident: &Ident) {
        for attribute in attributes {
            if let Some(exported) = exported(attribute) {
                self.0.push(Symbol {
                    name: exported.unwrap_or_else(|| name_of(ident)),
                    range: attribute.span().byte_range(),
                });
            }
        }
    }
}

impl<'ast> Visit<'ast> for Symbols {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.add(&item.attrs, &item.sig.ident);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.add(&item.attrs, &item.sig.ident);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_static(&mut self, item: &'ast ItemStatic) {
        self.add(&item.attrs, &item.ident);
        visit::visit_item_static(self, item);
    }
}

/// The name that the attribute gives, or none within for that of the item; none if it is another attribute.
fn exported(attribute: &Attribute) -> Option<Option<String>> {
    if !attribute.path().is_ident("unsafe") {
        return None;
    }
    let parsed = attribute.parse_args_with(|input: ParseStream<'_>| {
        let name = input.parse::<Ident>()?;
        let given = match input.is_empty() {
            true => None,
            false => {
                input.parse::<Token![=]>()?;
                Some(input.parse::<LitStr>()?.value())
            }
        };
        Ok((name, given))
    });
    match parsed.ok()? {
        (name, None) if name == "no_mangle" => Some(None),
        (name, Some(given)) if name == "export_name" => Some(Some(given)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn symbols_are_found_wherever_they_are_exported() {
        let code = "mod c { #[unsafe(no_mangle)] extern \"C\" fn one() {} #[inline] fn none() {} \
            #[unsafe(export_name = \"deux\")] static TWO: u8 = 2; }";
        let names: Vec<_> = of(&syn::parse_str(code).unwrap())
            .into_iter()
            .map(|symbol| symbol.name)
            .collect();
        assert_eq!(names, ["one", "deux"]);
    }
}
