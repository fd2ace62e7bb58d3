//! What of earlier cells gives way to the impls of a new one: a cell with an `impl` that is changed and run again means
//! that.

use std::ops::Range;

use super::super::items::ItemCell;
use super::super::parse::{Impl, ItemKind, ItemPart};

/// Takes out of the cells what `new` implements again.
pub fn give_way(cells: &mut [ItemCell], new: &[ItemPart]) {
    let new: Vec<&Impl> = new.iter().flat_map(ItemPart::impls).collect();
    for cell in cells {
        let mut changed = false;
        cell.items.retain_mut(|item| {
            let (stays, gone) = without(item, &new);
            changed |= !stays || !gone.is_empty();
            for place in gone {
                item.part.edit(place, "".into());
            }
            stays
        });
        cell.changed |= changed;
    }
}

/// Whether anything of an item is left, and what of it goes.
fn without(item: &mut ItemPart, new: &[&Impl]) -> (bool, Vec<Range<usize>>) {
    let mut gone = Vec::new();
    if let ItemKind::Impl(own) = &mut item.kind
        && !keeps_any(own, new, &mut gone)
    {
        return (false, gone);
    }
    item.nested.retain_mut(|nested| {
        let stays = keeps_any(nested, new, &mut gone);
        if !stays {
            gone.push(nested.range.clone());
        }
        stays
    });
    // The widest first, for the others are in there.
    gone.sort_by_key(|place| (place.start, std::cmp::Reverse(place.end)));
    (true, gone)
}

/// Adds the members of an old `impl` that are there anew; false if it is to go as a whole.
fn keeps_any(old: &mut Impl, new: &[&Impl], gone: &mut Vec<Range<usize>>) -> bool {
    for new in new.iter().filter(|new| new.header == old.header) {
        if old.of_trait {
            return false;
        }
        let again = |name: &String| new.members.iter().any(|(other, _)| other == name);
        let (out, kept): (Vec<_>, Vec<_>) =
            old.members.drain(..).partition(|(name, _)| again(name));
        old.members = kept;
        let any_out = !out.is_empty();
        for (name, place) in out {
            old.fixed.remove(&name);
            gone.push(place);
        }
        if any_out && old.members.is_empty() {
            return false;
        }
    }
    true
}
