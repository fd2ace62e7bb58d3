//! With which earlier cells the impls of a new one must be in one crate: those that define the types and traits, by
//! whatever name, alias, import or macro they are reached.

use std::collections::HashSet;

use super::super::parse::{ItemKind, ItemPart, Parsed};
use super::Items;

impl Items {
    /// The first cell that must be there, for all impls; none if they need no other.
    pub fn concerned(&self, parsed: &Parsed) -> Option<usize> {
        let own = &parsed.items;
        let of_impls = |item: &ItemPart| {
            let impls = item.impls().map(|one| self.newest(&one.heads, own));
            let given = match &item.kind {
                ItemKind::Call(words) => self.newest(words, own),
                _ => None,
            };
            impls.flatten().chain(given).min()
        };
        let first = own.iter().filter_map(of_impls).min();
        let any_impl = own.iter().any(|item| item.impls().next().is_some());
        // What a macro makes has no text to look at, and what a glob brings no name.
        let hidden = !any_impl || self.have_globs(own);
        first.or_else(|| (hidden && !self.cells.is_empty()).then_some(0))
    }

    fn newest<'a>(
        &'a self,
        heads: impl IntoIterator<Item = &'a String>,
        own: &'a [ItemPart],
    ) -> Option<usize> {
        let cells = heads.into_iter();
        cells.filter_map(|head| self.leads_to(head, own)).max()
    }

    fn have_globs(&self, own: &[ItemPart]) -> bool {
        let mut items = self.cells.iter().flat_map(|cell| &cell.items).chain(own);
        items.any(|item| matches!(&item.kind, ItemKind::Use(globs) if !globs.is_empty()))
    }

    /// The cell that defines what a cell with the items `own` calls by a name, perhaps through aliases and imports.
    fn leads_to<'a>(&'a self, name: &'a str, own: &'a [ItemPart]) -> Option<usize> {
        let mut found: Option<usize> = None;
        let mut seen = HashSet::new();
        // With whether the cell itself may define it, and how many cells before it.
        let mut open = vec![(name, true, self.cells.len())];
        while let Some((name, may_be_own, before)) = open.pop() {
            if !seen.insert(name) {
                continue;
            }
            let is_own = may_be_own && own.iter().any(|item| item.defines(name));
            if is_own {
                let words = other_names(own, name);
                open.extend(words.map(|word| (word, true, self.cells.len())));
                continue;
            }
            let mut cells = self.cells[..before].iter();
            if let Some(at) = cells.rposition(|cell| cell.may_define(name)) {
                found = Some(found.map_or(at, |found| found.min(at)));
                let words = other_names(&self.cells[at].items, name);
                open.extend(words.map(|word| (word, false, at + 1)));
            }
        }
        found
    }
}

/// The words of the items that only give something else a name.
fn other_names<'a>(items: &'a [ItemPart], name: &'a str) -> impl Iterator<Item = &'a str> {
    let through = items.iter().filter(move |item| item.defines(name));
    let words = through.filter_map(ItemPart::other_names).flatten();
    words.map(String::as_str)
}
