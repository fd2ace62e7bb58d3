//! Which macros have a value when they are called with braces, as a cell's last words: `thread_local! { .. }` has none.

use std::collections::HashSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Path;

/// Those of crates; a macro of one's own is looked at.
const OF_CRATES: [&str; 5] = ["select", "json", "html", "vec", "format"];
/// What an item or a `let` begins with.
const BEGIN_ITEMS: [&str; 14] = [
    "const",
    "enum",
    "extern",
    "fn",
    "impl",
    "let",
    "macro_rules",
    "mod",
    "pub",
    "static",
    "struct",
    "trait",
    "type",
    "use",
];

/// `own` are the macros of cells that have a value.
pub fn is_of_value(path: &Path, own: &HashSet<String>) -> bool {
    let Some(last) = path.segments.last() else {
        return false;
    };
    OF_CRATES.iter().any(|name| last.ident == name)
        || path.segments.len() == 1 && own.contains(&last.ident.to_string())
}

/// Whether a `macro_rules!` makes an expression by all of its rules, `(pattern) => { expression };`.
pub fn makes_value(rules: &TokenStream) -> bool {
    let mut bodies = bodies(rules).into_iter();
    bodies.all(|body| !body.is_empty() && !has_statements(body))
}

/// What the rules of a `macro_rules!` make; nothing where a rule is not whole.
pub fn bodies(rules: &TokenStream) -> Vec<TokenStream> {
    let tokens: Vec<TokenTree> = rules.clone().into_iter().collect();
    let is_arrow = |pair: &[TokenTree]| pair[0].to_string() == "=" && pair[1].to_string() == ">";
    let arrows = (0..tokens.len().saturating_sub(1)).filter(|at| is_arrow(&tokens[*at..*at + 2]));
    let bodies = arrows.map(|at| match tokens.get(at + 2) {
        Some(TokenTree::Group(body)) => body.stream(),
        _ => TokenStream::new(),
    });
    bodies.collect()
}

/// Whether there is a `;`, an attribute or the begin of an item outside of brackets but those of `$( .. )*`.
fn has_statements(body: TokenStream) -> bool {
    let mut previous = None;
    for token in body {
        let is_statement = match &token {
            TokenTree::Punct(punct) => matches!(punct.as_char(), ';' | '#'),
            TokenTree::Ident(ident) => {
                let is_variable = previous == Some('$');
                !is_variable && BEGIN_ITEMS.iter().any(|begin| ident == begin)
            }
            TokenTree::Group(group) => {
                let is_repeated =
                    previous == Some('$') && group.delimiter() == Delimiter::Parenthesis;
                is_repeated && has_statements(group.stream())
            }
            TokenTree::Literal(_) => false,
        };
        if is_statement {
            return true;
        }
        previous = match token {
            TokenTree::Punct(punct) => Some(punct.as_char()),
            _ => None,
        };
    }
    false
}

#[cfg(test)]
mod tests {
    use super::makes_value;

    #[test]
    fn macros_of_expressions_are_told_from_those_of_items_and_statements() {
        let value = |rules: &str| makes_value(&rules.parse().unwrap());
        assert!(value(
            "($($k:literal => $v:expr),*) => { BTreeMap::from([$(($k, $v)),*]) }"
        ));
        assert!(value(
            "() => {{ let mut v = Vec::new(); v.push(1); v }}; ($x:expr) => ($x + 1)"
        ));
        assert!(value("($($x:expr),*) => { 0 $(+ $x)* };"));
        assert!(!value("($name:ident) => { pub struct $name; }"));
        assert!(!value("($($name:ident),*) => { $(fn $name() {})* }"));
        assert!(!value("($($item:item)*) => { $(#[derive(Debug)] $item)* }"));
        assert!(!value("($x:expr) => { println!(\"{}\", $x); }"));
        assert!(!value("() => { 1 }; ($x:ident) => { let $x = 1; }"));
        assert!(!value("() => {}"));
    }
}
