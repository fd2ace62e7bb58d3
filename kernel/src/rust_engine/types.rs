//! Types of a cell's variables, read from the compiler's MIR text and written so that later cells can name them.
//!
//! The text is for people and may change with the compiler; kernel and compiler are pinned to each other.

use std::collections::HashMap;

use quote::ToTokens;
use syn::visit_mut::{VisitMut, visit_path_mut};
use syn::{Path, PathSegment, Type};

use super::prelude::NAMED;

/// The generated source gives each kept variable a local of this name and its number, of type `*const T`.
pub const KEPT: &str = "__kept_";

const PRIMITIVES: [&str; 19] = [
    "bool", "char", "str", "f16", "f32", "f64", "f128", "i8", "i16", "i32", "i64", "i128", "isize",
    "u8", "u16", "u32", "u64", "u128", "usize",
];

/// Types by number of the kept variable; those that have no name, such as closures, are missing.
pub fn kept_types(mir: &str, cell: &str) -> HashMap<usize, String> {
    let mut kept = HashMap::new();
    for function in mir.split("\n}\n") {
        let mut locals = HashMap::new();
        let mut numbers = Vec::new();
        for line in function.lines().map(str::trim) {
            if let Some((local, r#type)) = declaration(line) {
                locals.insert(local, r#type);
            }
            if let Some((number, local)) = debug_info(line) {
                numbers.push((number, local));
            }
        }
        for (number, local) in numbers {
            let name = locals.get(local).and_then(|text| nameable(text, cell));
            kept.extend(name.map(|name| (number, name)));
        }
    }
    kept
}

/// `let _4: *const T;`
fn declaration(line: &str) -> Option<(&str, &str)> {
    let (local, r#type) = line.strip_prefix("let ")?.split_once(": ")?;
    let local = local.strip_prefix("mut ").unwrap_or(local);
    let pointee = r#type.strip_prefix("*const ")?;
    Some((local, pointee.strip_suffix(';')?))
}

/// `debug __kept_0 => _4;`
fn debug_info(line: &str) -> Option<(usize, &str)> {
    let (number, local) = line
        .strip_prefix("debug ")?
        .strip_prefix(KEPT)?
        .split_once(" => ")?;
    Some((number.parse().ok()?, local.strip_suffix(';')?))
}

/// The type with the crate of the cell before paths that have none: `P` is `cell_3::P` for later cells.
fn nameable(text: &str, cell: &str) -> Option<String> {
    // Closures and functions print with braces, and `impl Trait` hides a type without a name.
    if text.contains(['{', '}']) || text.contains("impl ") {
        return None;
    }
    let mut r#type = syn::parse_str::<Type>(text).ok()?;
    Qualify { cell }.visit_type_mut(&mut r#type);
    Some(r#type.into_token_stream().to_string())
}

struct Qualify<'a> {
    cell: &'a str,
}

impl VisitMut for Qualify<'_> {
    fn visit_path_mut(&mut self, path: &mut Path) {
        visit_path_mut(self, path);
        let Some(first) = path.segments.first() else {
            return;
        };
        let name = first.ident.to_string();
        let crate_or_primitive = match path.segments.len() {
            1 => PRIMITIVES.contains(&name.as_str()),
            // The crates that a cell can name, and those that only the library's crates name: a variable with
            // such a type cannot be bound, which is found when a cell tries.
            _ => is_crate(&name),
        };
        if !crate_or_primitive {
            let cell = PathSegment::from(syn::Ident::new(self.cell, first.ident.span()));
            path.segments.insert(0, cell);
        }
    }
}

fn is_crate(name: &str) -> bool {
    ["std", "core", "alloc", "carrel_prelude"].contains(&name)
        || NAMED.contains(&name)
        || name.starts_with("cell_")
}

/// Whether a type names `name` of a cell's crate, as it does after `name` was defined again.
pub fn mentions(text: &str, name: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .windows(3)
        .any(|words| words[0].starts_with("cell_") && words[1] == "::" && words[2] == name)
}

#[cfg(test)]
mod tests {
    use super::{kept_types, mentions};

    const MIR: &str = "
fn cell_3::{closure#0}(_1: {closure@cell_3.rs:3:29: 3:38}) -> Result {
    let mut _0: std::result::Result<(), CellError>;
    let _3: *const std::vec::Vec<P>;
    scope 1 {
        debug __kept_0 => _3;
        let _7: *const {closure@cell_3.rs:4:9: 4:17};
        scope 2 {
            debug __kept_1 => _7;
        }
    }
}
";

    #[test]
    fn types_of_the_cell_get_its_crate_and_closures_have_none() {
        let kept = kept_types(MIR, "cell_3");
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[&0], "std :: vec :: Vec < cell_3 :: P >");
        assert!(mentions(&kept[&0], "P"));
        assert!(!mentions(&kept[&0], "Vec"));
    }
}
