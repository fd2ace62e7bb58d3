//! Types of a cell's variables, read from the compiler's MIR text and written so that later cells can name them.
//!
//! The text is for people and may change with the compiler; kernel and compiler are pinned to each other.

use std::collections::{HashMap, HashSet};

use quote::ToTokens;
use syn::visit_mut::{VisitMut, visit_path_mut, visit_return_type_mut, visit_type_mut};
use syn::{Path, PathSegment, ReturnType, Type};

use super::type_text::TypeText;

/// The generated source gives each kept variable a local of this name and its number, of type `*const T`.
pub const KEPT: &str = "__kept_";

const PRIMITIVES: [&str; 19] = [
    "bool", "char", "str", "f16", "f32", "f64", "f128", "i8", "i16", "i32", "i64", "i128", "isize",
    "u8", "u16", "u32", "u64", "u128", "usize",
];

/// Beside it, a closure has a local of this name and its number, of type `*const {closure}`.
pub const CLOSURE: &str = "__closure_";

/// What the MIR tells of the variables of a cell, by number.
#[derive(Debug, Default)]
pub struct Kept {
    /// Types as later cells name them. Those that have no name are missing.
    pub types: HashMap<usize, TypeText>,
    /// The boxes that closures can be kept in, as the cell itself names them.
    pub boxes: HashMap<usize, String>,
}

/// Whether a name is one of a variable in the MIR of a cell's crate, not of a constant.
pub fn is_variable(mir: &str, name: &str) -> bool {
    mir.contains(&format!("debug {name} => "))
}

/// The crates that there are beside the cells'.
#[derive(Debug, Default)]
pub struct CrateNames<'a> {
    /// Those that a cell can name.
    pub named: HashSet<&'a str>,
    /// Those that only other crates use, so that a type of theirs has no name in a cell.
    pub hidden: HashSet<&'a str>,
}

/// Reads the MIR of a cell's crate.
pub fn kept(mir: &str, cell: &str, crates: &CrateNames<'_>) -> Kept {
    let mut kept = Kept::default();
    let mut signatures = HashMap::new();
    let mut closures = HashMap::new();
    for function in mir.split("\n}\n") {
        let mut locals = HashMap::new();
        let mut numbers = Vec::new();
        for line in function.lines().map(str::trim) {
            if let Some((local, r#type)) = declaration(line) {
                locals.insert(local, r#type);
            }
            numbers.extend(debug_info(line));
        }
        for (name, local) in numbers {
            let Some(text) = locals.get(local) else {
                continue;
            };
            if let Some(number) = name.strip_prefix(CLOSURE) {
                closures.extend(number.parse::<usize>().map(|number| (number, *text)));
            } else if let Some(Ok(number)) = name.strip_prefix(KEPT).map(str::parse) {
                signatures.insert(number, *text);
                let name = nameable(text, cell, crates);
                kept.types.extend(name.map(|name| (number, name)));
            }
        }
    }
    for (number, closure) in closures {
        kept.types.remove(&number);
        let signature = signatures.get(&number).copied();
        let boxed = signature.and_then(|signature| closure_box(mir, closure, signature));
        kept.boxes.extend(boxed.map(|boxed| (number, boxed)));
    }
    kept
}

/// `Box<dyn Fn(i32) -> i32>` for `fn(i32) -> i32` and a closure, whose own function takes it by reference in the MIR.
fn closure_box(mir: &str, closure: &str, signature: &str) -> Option<String> {
    let arguments = signature.strip_prefix("fn")?;
    if !has_name(arguments) {
        return None;
    }
    let takes = |receiver: &str| mir.contains(&format!("(_1: {receiver}{closure}"));
    let kind = match (takes("&"), takes("&mut ")) {
        (true, _) => "Fn",
        (false, true) => "FnMut",
        (false, false) => "FnOnce",
    };
    Some(format!("::std::boxed::Box<dyn {kind}{arguments}>"))
}

/// `let _4: *const T;`
fn declaration(line: &str) -> Option<(&str, &str)> {
    let (local, r#type) = line.strip_prefix("let ")?.split_once(": ")?;
    let local = local.strip_prefix("mut ").unwrap_or(local);
    let pointee = r#type.strip_prefix("*const ")?;
    Some((local, pointee.strip_suffix(';')?))
}

/// `debug __kept_0 => _4;`
fn debug_info(line: &str) -> Option<(&str, &str)> {
    let (name, local) = line.strip_prefix("debug ")?.split_once(" => ")?;
    Some((name, local.strip_suffix(';')?))
}

/// Closures and functions print with braces, and `impl Trait` hides a type without a name.
fn has_name(text: &str) -> bool {
    !text.contains(['{', '}']) && !text.contains("impl ")
}

/// The type with the crate of the cell before paths that have none: `P` is `cell_3::P` for later cells.
fn nameable(text: &str, cell: &str, crates: &CrateNames<'_>) -> Option<TypeText> {
    if !has_name(text) {
        return None;
    }
    let mut r#type = syn::parse_str::<Type>(text).ok()?;
    let mut qualify = Qualify {
        cell,
        crates,
        hidden: false,
    };
    qualify.visit_type_mut(&mut r#type);
    (!qualify.hidden).then(|| TypeText::of_tokens(r#type.into_token_stream().to_string()))
}

struct Qualify<'a> {
    cell: &'a str,
    crates: &'a CrateNames<'a>,
    /// A part is of a crate that a cell cannot name.
    hidden: bool,
}

impl VisitMut for Qualify<'_> {
    fn visit_type_mut(&mut self, r#type: &mut Type) {
        if matches!(r#type, Type::Never(_)) {
            *r#type = syn::parse_quote!(carrel_runtime::Never);
        }
        visit_type_mut(self, r#type);
    }

    fn visit_return_type_mut(&mut self, r#type: &mut ReturnType) {
        // Here it has a name.
        let never = |r#type: &Type| matches!(r#type, Type::Never(_));
        if !matches!(r#type, ReturnType::Type(_, inner) if never(inner)) {
            visit_return_type_mut(self, r#type);
        }
    }

    fn visit_path_mut(&mut self, path: &mut Path) {
        visit_path_mut(self, path);
        let Some(first) = path.segments.first() else {
            return;
        };
        let name = first.ident.to_string();
        let crate_or_primitive = match path.segments.len() {
            1 => PRIMITIVES.contains(&name.as_str()),
            _ => is_crate(&name, &self.crates.named),
        };
        self.hidden |=
            !crate_or_primitive && path.segments.len() > 1 && self.crates.hidden.contains(&*name);
        if !crate_or_primitive {
            let cell = PathSegment::from(syn::Ident::new(self.cell, first.ident.span()));
            path.segments.insert(0, cell);
        }
    }
}

fn is_crate(name: &str, crates: &HashSet<&str>) -> bool {
    is_light(name) || name == "carrel_prelude" || crates.contains(name)
}

/// Whether the compiler reads a crate without those of the prelude, and quickly.
pub fn is_light(name: &str) -> bool {
    let light = ["std", "core", "alloc", "tokio", "carrel_runtime"];
    light.contains(&name) || name.starts_with("cell_")
}

#[cfg(test)]
mod tests {
    use super::super::type_text::NEVER;
    use super::{CrateNames, kept, nameable};

    const MIR: &str = "
fn cell_3::{closure#0}(_1: {closure@cell_3.rs:3:29: 3:38}) -> Result {
    let mut _0: std::result::Result<(), CellError>;
    let _3: *const std::vec::Vec<P>;
    scope 1 {
        debug __kept_0 => _3;
        let _6: *const fn(&str) -> usize;
        let _7: *const {closure@cell_3.rs:4:9: 4:17};
        scope 2 {
            debug __kept_1 => _6;
            debug __closure_1 => _7;
        }
    }
}

fn cell_3::{closure#0}::{closure#0}(_1: &mut {closure@cell_3.rs:4:9: 4:17}, _2: &str) -> usize {
}
";

    #[test]
    fn types_of_the_cell_get_its_crate_and_closures_a_box() {
        let kept = kept(MIR, "cell_3", &CrateNames::default());
        assert_eq!(kept.types.len(), 1);
        assert_eq!(
            kept.types[&0].to_string(),
            "std :: vec :: Vec < cell_3 :: P >"
        );
        assert_eq!(
            kept.boxes[&1],
            "::std::boxed::Box<dyn FnMut(&str) -> usize>"
        );
    }

    #[test]
    fn a_type_of_a_crate_that_cells_cannot_name_has_no_name() {
        let crates = CrateNames {
            named: ["csv"].into(),
            hidden: ["memchr", "csv_core"].into(),
        };
        let name = |text| Some(nameable(text, "cell_3", &crates)?.to_string());
        assert_eq!(
            name("csv::Reader<P>").unwrap(),
            "csv :: Reader < cell_3 :: P >"
        );
        assert_eq!(name("std::vec::Vec<(u8, csv_core::Reader)>"), None);
        // A type of the cell's own, in a module or not.
        assert_eq!(name("memchr").unwrap(), "cell_3 :: memchr");
        assert_eq!(name("inner::P").unwrap(), "cell_3 :: inner :: P");
    }

    #[test]
    fn the_type_that_is_never_made_has_a_name() {
        let name = |text| {
            let name = nameable(text, "cell_3", &CrateNames::default());
            name.unwrap().to_string()
        };
        let expected = format!("std :: vec :: Vec < ({NEVER} , fn () -> !) >");
        assert_eq!(name("std::vec::Vec<(!, fn() -> !)>"), expected);
    }
}
