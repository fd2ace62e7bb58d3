//! Whether values of earlier cells' types are values of the same types compiled again: they are not if an `impl` of the
//! new cell changes what such a type is made with, as a field of type `<S as Trait>::Part` or an array of `S::COUNT`.

use std::collections::HashSet;

use super::super::items::ItemCell;
use super::super::parse::{Fixed, Impl, ItemKind, ItemPart};

/// Whether types of `cells` may be made otherwise together with `new`, although their text stays. `all` are the cells
/// that define its macros.
pub fn may_change(cells: &[ItemCell], new: &[ItemPart], all: &[ItemCell]) -> bool {
    let items = || cells.iter().flat_map(|cell| &cell.items);
    // `:opt` changes what that means.
    items().any(|item| item.words.contains("debug_assertions"))
        || gives_way_changed(cells, new)
        || new.iter().flat_map(ItemPart::impls).any(|new| {
            let shadows = |name: &String| items().any(|item| item.words.contains(name));
            !new.of_trait && added_constants(new, cells).any(shadows)
        })
        || new.iter().any(|item| may_make_constants(item, new, all))
}

fn gives_way_changed(cells: &[ItemCell], new: &[ItemPart]) -> bool {
    cells.iter().enumerate().any(|(index, cell)| {
        let later = cells[index + 1..].iter().flat_map(|cell| &cell.items);
        let later: Vec<&ItemPart> = later.chain(new).collect();
        let mut olds = cell.items.iter().flat_map(ItemPart::impls);
        olds.any(|old| {
            let news = new.iter().flat_map(ItemPart::impls);
            let mut same = news.filter(|new| new.header == old.header);
            same.any(|new| is_other(old, new, &later))
        })
    })
}

/// Whether the newer of two impls gives another meaning to a member that types may be made with.
fn is_other(old: &Impl, new: &Impl, later: &[&ItemPart]) -> bool {
    let mut names = old.fixed.keys().chain(new.fixed.keys());
    names.any(|name| {
        let again = new.members.iter().any(|(other, _)| other == name);
        let gives_way = old.of_trait || again && old.fixed.contains_key(name);
        gives_way && !is_same(old.fixed.get(name), new.fixed.get(name), later)
    })
}

/// Whether two members mean the same, with what was defined since the first.
fn is_same(old: Option<&Fixed>, new: Option<&Fixed>, later: &[&ItemPart]) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return false;
    };
    old.text == new.text
        && later.iter().all(|item| match &item.names {
            Some(names) => names.iter().all(|name| !old.words.contains(name)),
            None => false,
        })
}

/// Constants that a type did not have as its own: those stand before a trait's of the same name.
fn added_constants<'a>(new: &'a Impl, cells: &'a [ItemCell]) -> impl Iterator<Item = &'a String> {
    let olds = cells.iter().flat_map(|cell| &cell.items);
    let olds = olds.flat_map(ItemPart::impls);
    let had: HashSet<&String> = olds
        .filter(|old| old.header == new.header)
        .flat_map(|old| old.fixed.keys())
        .collect();
    let constants = new.fixed.iter().filter(|(_, fixed)| fixed.is_constant);
    constants
        .map(|(name, _)| name)
        .filter(move |name| !had.contains(name))
}

/// Whether a call of a macro may make such constants, by what it is given and what the macro is.
fn may_make_constants(item: &ItemPart, new: &[ItemPart], all: &[ItemCell]) -> bool {
    let is_macro = |other: &&ItemPart| match &other.kind {
        ItemKind::Macro(found) => item.words.contains(&found.name),
        _ => false,
    };
    let mut macros = all
        .iter()
        .flat_map(|cell| &cell.items)
        .chain(new)
        .filter(is_macro);
    let has = |item: &ItemPart| item.words.contains("const");
    matches!(item.kind, ItemKind::Call(_)) && (has(item) || macros.any(has))
}
