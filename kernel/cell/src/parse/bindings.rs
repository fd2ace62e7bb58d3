//! The variables that a pattern declares.

use syn::visit::Visit;
use syn::{Expr, Pat, PatIdent};

use super::names::name_of;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub name: String,
    pub mutable: bool,
    /// It is initialized with a closure.
    pub closure: bool,
    /// The cell mentions it after its declaration.
    pub used: bool,
    /// It is a variable only if there is no constant, variant or unit struct of its name: the compiler knows.
    pub maybe_constant: bool,
}

/// What a pattern binds, or may bind.
pub fn of(pattern: &Pat) -> Vec<Binding> {
    let mut names = Names::default();
    names.visit_pat(pattern);
    names.0
}

#[derive(Default)]
struct Names(Vec<Binding>);

impl Visit<'_> for Names {
    fn visit_pat_ident(&mut self, pattern: &PatIdent) {
        let name = name_of(&pattern.ident);
        let is_plain =
            pattern.mutability.is_none() && pattern.by_ref.is_none() && pattern.subpat.is_none();
        let maybe_constant = is_plain && name.starts_with(char::is_uppercase);
        if name != "None" {
            self.0.push(Binding {
                name,
                mutable: pattern.mutability.is_some(),
                closure: false,
                used: false,
                maybe_constant,
            });
        }
        syn::visit::visit_pat_ident(self, pattern);
    }

    // Patterns hold expressions (`0..=N`), and those bind nothing.
    fn visit_expr(&mut self, _: &Expr) {}
}
