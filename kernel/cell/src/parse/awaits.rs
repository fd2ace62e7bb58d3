//! Finds `.await` at the top level of a cell: outside of async blocks, closures and functions.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{ExprAsync, ExprAwait, ExprClosure, Item, Macro, Stmt};

pub fn awaits(statement: &Stmt) -> bool {
    let mut awaits = Awaits::default();
    awaits.visit_stmt(statement);
    awaits.0
}

#[derive(Default)]
struct Awaits(bool);

impl Visit<'_> for Awaits {
    fn visit_expr_await(&mut self, _: &ExprAwait) {
        self.0 = true;
    }

    fn visit_macro(&mut self, call: &Macro) {
        self.0 |= any_await(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_expr_async(&mut self, _: &ExprAsync) {}
    fn visit_expr_closure(&mut self, _: &ExprClosure) {}
    fn visit_item(&mut self, _: &Item) {}
}

/// In the arguments of a macro, which need not be expressions. A macro that brings an `.await` of its own, such as
/// `tokio::join!`, is found when the compiler refuses it.
fn any_await(tokens: TokenStream) -> bool {
    let (mut after_dot, mut in_async) = (false, false);
    for token in tokens {
        match &token {
            TokenTree::Ident(word) if after_dot && word == "await" => return true,
            TokenTree::Ident(word) if word == "async" || (in_async && word == "move") => {
                in_async = true;
                continue;
            }
            TokenTree::Group(group) if !in_async && any_await(group.stream()) => return true,
            _ => {}
        }
        in_async = false;
        after_dot = matches!(&token, TokenTree::Punct(dot) if dot.as_char() == '.');
    }
    false
}
