//! Ticks of loops in macros: in the arguments of a call that are expressions, and in the rules of a macro of one's own.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, ExprForLoop, ExprLoop, ExprWhile, ItemMacro, Macro, Token};

use super::Edits;
use super::ticks::TICK;

/// Macros that take code for text.
const QUOTING: [&str; 4] = ["stringify", "quote", "quote_spanned", "parse_quote"];
/// Between `while` or `for` and the body these bring a block of their own.
const OTHER_BLOCKS: [&str; 7] = ["match", "if", "unsafe", "async", "loop", "move", "impl"];

/// Ticks in the loops among a macro's arguments, if they are expressions.
pub fn in_arguments(call: &Macro) -> Edits {
    let mut loops = Loops::default();
    let name = call.path.segments.last().map(|name| name.ident.to_string());
    if name.is_some_and(|name| QUOTING.contains(&&*name)) {
        return loops.0;
    }
    let arguments = Punctuated::<Expr, Token![,]>::parse_terminated;
    for argument in arguments.parse2(call.tokens.clone()).iter().flatten() {
        loops.visit_expr(argument);
    }
    loops.0
}

#[derive(Default)]
struct Loops(Edits);

impl Loops {
    fn enter(&mut self, body: &syn::Block) {
        let open = body.brace_token.span.open().byte_range().end;
        self.0.push((open..open, TICK.into()));
    }
}

impl<'ast> Visit<'ast> for Loops {
    fn visit_expr_loop(&mut self, expression: &'ast ExprLoop) {
        self.enter(&expression.body);
        visit::visit_expr_loop(self, expression);
    }

    fn visit_expr_while(&mut self, expression: &'ast ExprWhile) {
        self.enter(&expression.body);
        visit::visit_expr_while(self, expression);
    }

    fn visit_expr_for_loop(&mut self, expression: &'ast ExprForLoop) {
        self.enter(&expression.body);
        visit::visit_expr_for_loop(self, expression);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.0.extend(in_arguments(call));
    }

    // What the compiler evaluates.
    fn visit_item(&mut self, _: &'ast syn::Item) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_expr_repeat(&mut self, expression: &'ast syn::ExprRepeat) {
        self.visit_expr(&expression.expr);
    }
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_path_arguments(&mut self, _: &'ast syn::PathArguments) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
}

/// Ticks in the loops that a `macro_rules!` writes. Rules with constants are left alone: the compiler evaluates those.
pub fn in_rules(item: &ItemMacro) -> Edits {
    let mut edits = Edits::new();
    if !item.mac.path.is_ident("macro_rules") {
        return edits;
    }
    let mut after_arrow = false;
    for token in item.mac.tokens.clone() {
        match token {
            TokenTree::Group(rule) if after_arrow => {
                if !evaluates(rule.stream()) {
                    in_tokens(rule.stream(), &mut edits);
                }
                after_arrow = false;
            }
            TokenTree::Punct(punct) => after_arrow = punct.as_char() == '>',
            _ => {}
        }
    }
    edits
}

fn evaluates(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => evaluates(group.stream()),
        TokenTree::Ident(word) => word == "const" || word == "static",
        _ => false,
    })
}

fn in_tokens(tokens: TokenStream, edits: &mut Edits) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => in_tokens(group.stream(), edits),
            TokenTree::Ident(word) => {
                if let Some(body) = body(&word.to_string(), &tokens[at + 1..]) {
                    let open = body.span_open().byte_range().end;
                    edits.push((open..open, TICK.into()));
                }
            }
            _ => {}
        }
    }
}

/// The body of the loop that begins with `word`.
fn body<'a>(word: &str, rest: &'a [TokenTree]) -> Option<&'a Group> {
    if !matches!(word, "loop" | "while" | "for") {
        return None;
    }
    let mut has_in = false;
    for token in rest {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                return (word != "for" || has_in).then_some(group);
            }
            _ if word == "loop" => return None,
            TokenTree::Ident(word) if OTHER_BLOCKS.contains(&&*word.to_string()) => return None,
            TokenTree::Ident(word) if word == "in" => has_in = true,
            TokenTree::Punct(punct) if punct.as_char() == ';' => return None,
            _ => {}
        }
    }
    None
}
