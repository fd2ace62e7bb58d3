//! `crate::` in an earlier cell means that cell and those before it, also where it is a module of another crate: the root
//! of that has the newest item of each name.

use proc_macro2::{TokenStream, TokenTree};

use super::super::parse::Part;

/// Has paths from the root start at the cell's own module.
pub fn keep(part: &mut Part, code: &str, module: &str) {
    let Some(text) = code.get(part.range.clone()) else {
        return;
    };
    if !text.contains("crate") {
        return;
    }
    let mut roots = Vec::new();
    if let Ok(tokens) = text.parse::<TokenStream>() {
        find(tokens, &mut roots);
    }
    for root in roots {
        let end = part.range.start + root;
        part.edit(end..end, format!("::{module}").into());
    }
}

/// Where `crate` ends before `::`, also in `$crate::`.
fn find(tokens: TokenStream, roots: &mut Vec<usize>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => find(group.stream(), roots),
            TokenTree::Ident(word) if word == "crate" => {
                let is_path =
                    matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
                if is_path {
                    roots.push(word.span().byte_range().end);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::generate::piece;
    use super::super::super::parse::Part;
    use super::super::super::source::Source;
    use super::keep;

    #[test]
    fn paths_from_the_root_stay_in_their_cell() {
        let code = "pub(crate) fn f(a: crate::P) -> u8 { $crate::g!(crate :: {a}) }";
        let mut part = Part {
            range: 11..code.len(),
            edits: Vec::new(),
        };
        keep(&mut part, code, "in_cell_2");
        let mut source = Source::default();
        piece(&mut source, code, &part);
        assert_eq!(
            source.text(),
            "fn f(a: crate::in_cell_2::P) -> u8 { $crate::in_cell_2::g!(crate::in_cell_2 :: {a}) }"
        );
    }
}
