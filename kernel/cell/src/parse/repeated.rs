//! Macros that a cell defines more than once. Each counts from where it stands, the last one for later cells.

use std::collections::HashSet;

use syn::{Item, Stmt};

use super::names::name_of;
use super::public::EXPORTED;
use super::{ItemKind, Parsed, Part};

/// Names that several `macro_rules!` have.
pub fn names(statements: &[Stmt]) -> HashSet<String> {
    let mut once = HashSet::new();
    let macros = statements.iter().filter_map(|statement| match statement {
        Stmt::Item(Item::Macro(item)) => item.ident.as_ref().map(name_of),
        _ => None,
    });
    macros.filter(|name| !once.insert(name.clone())).collect()
}

impl Parsed {
    /// Has the newest item, if it is one of these macros, stand among the statements too.
    pub fn add_repeated(&mut self, names: &HashSet<String>) {
        if let Some(item) = self.items.last()
            && let ItemKind::Macro(rules) = &item.kind
            && names.contains(&rules.name)
        {
            let range = item.part.range.clone();
            self.statements.push(Part::new(range, Vec::new()));
        }
    }

    /// Leaves one of each for other crates.
    pub fn export_last(&mut self, names: &HashSet<String>) {
        let mut seen = HashSet::new();
        for item in self.items.iter_mut().rev() {
            let ItemKind::Macro(rules) = &item.kind else {
                continue;
            };
            if names.contains(&rules.name) && !seen.insert(rules.name.clone()) {
                item.part.edits.retain(|(_, text)| text != EXPORTED);
                item.names = Some(Vec::new());
                item.kind = ItemKind::Other;
            }
        }
    }
}
