//! The notebook as a crate: one module for the items of each cell, and the cell that is being written as a function
//! whose parameters are the variables.

use std::collections::BTreeMap;
use std::fmt::Write;

use carrel_protocol::analysis::{Items, Notebook};
use ra_ap_ide_db::span::Edition;
use ra_ap_ide_db::syntax_helpers::LexedStr;
use ra_ap_syntax::SyntaxKind;

/// Name of the crate.
pub const NAME: &str = "notebook";
/// Name of the function around the cell that is being written.
pub const FUNCTION: &str = "__cell";

const PRELUDE: &str = "::carrel_prelude::prelude";

/// The root module: the items of all cells that ran.
pub fn root(notebook: &Notebook) -> String {
    let mut text = String::from("mod writing;\n");
    for (number, items) in notebook.items.iter().enumerate() {
        let _ = writeln!(text, "pub mod {} {{", items.name);
        // A glob import gives way to names defined here; macros are in the root.
        text.push_str(&imports(&notebook.items[..number], &items.names));
        let _ = writeln!(text, "{}\n}}", items.source);
    }
    text
}

/// The module of the cell that is being written, and where in it the code starts.
pub fn writing(notebook: &Notebook, code: &str) -> (String, usize) {
    let mut text = imports(&notebook.items, &[]);
    let _ = write!(text, "async fn {FUNCTION}(");
    for variable in &notebook.variables {
        let mutable = if variable.mutable { "mut " } else { "" };
        let _ = write!(text, "{mutable}{}: {}, ", variable.name, variable.r#type);
    }
    text.push_str(") {\n");
    let start = text.len();
    text.push_str(&without_stray_braces(code));
    // A last expression would be taken for what the function returns.
    text.push_str("\n;}\n");
    (text, start)
}

/// Imports of all that a cell sees of `earlier` ones, but for names of its own. rust-analyzer may take a name that
/// comes by several glob imports from the wrong one, so the newest of those is named.
fn imports(earlier: &[Items], own: &[String]) -> String {
    let mut cells: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for items in earlier {
        for name in &items.names {
            cells.entry(name).or_default().push(&items.name);
        }
    }
    let mut text = match earlier.last() {
        Some(items) => format!("pub use crate::{}::*; use crate::*;\n", items.name),
        None => format!("pub use {PRELUDE}::*; use crate::*;\n"),
    };
    for (name, cells) in cells {
        if let [_, .., newest] = cells[..]
            && !own.iter().any(|own| own == name)
        {
            let _ = writeln!(text, "pub use crate::{newest}::{name};");
        }
    }
    text
}

/// The code with spaces for braces that close nothing: they would end the function around it.
fn without_stray_braces(code: &str) -> String {
    let tokens = LexedStr::new(Edition::CURRENT, code);
    let mut text = code.to_owned();
    let mut depth = 0u32;
    for token in 0..tokens.len() {
        match tokens.kind(token) {
            SyntaxKind::L_CURLY => depth += 1,
            SyntaxKind::R_CURLY if depth > 0 => depth -= 1,
            SyntaxKind::R_CURLY => text.replace_range(tokens.text_range(token), " "),
            _ => {}
        }
    }
    text
}
