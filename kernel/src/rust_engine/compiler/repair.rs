//! What the compiler's errors in our own lines mean: a variable that the cell moved is not given back, and one that
//! cannot outlive the cell is not kept. Compiling again without that line costs a moment and only in such cells.

use std::collections::HashMap;

use carrel_cell::diagnostics::{CellSource, Diagnostic, Place};
use carrel_cell::source::Mark;

/// Lines to leave out, and what that means for their variable. Empty when the errors are the person's.
pub fn repair(diagnostics: &[Diagnostic], cell: &CellSource) -> HashMap<Mark, String> {
    diagnostics
        .iter()
        .flat_map(|diagnostic| repair_one(diagnostic, cell))
        .collect()
}

fn repair_one(diagnostic: &Diagnostic, cell: &CellSource) -> Vec<(Mark, String)> {
    let marks = diagnostic.marks(cell);
    let primary = marks.iter().find(|(_, place)| *place == Place::Primary);
    let primary = primary.map(|(mark, _)| *mark);
    let keeps = |wanted: Place, reason: &str| -> Vec<(Mark, String)> {
        let keeps = |(mark, place): &&(&Mark, Place)| {
            // One that ends later than it is used last may keep others from being changed.
            let ends = matches!(mark, Mark::End(_)) && wanted == Place::Secondary;
            (matches!(mark, Mark::Keep(_)) || ends) && *place == wanted
        };
        let keeps = marks.iter().filter(keeps);
        keeps
            .map(|(mark, _)| ((*mark).clone(), reason.to_owned()))
            .collect()
    };
    match (diagnostic.code(), primary) {
        // The pattern is a constant.
        ("E0005" | "E0158" | "E0308" | "E0530", Some(mark @ Mark::Take(name))) => {
            let reason = format!("`{name}` is the name of a constant or a type's only value now");
            vec![(mark.clone(), reason)]
        }
        (_, Some(mark @ (Mark::Carry(_) | Mark::Take(_)))) => {
            vec![(mark.clone(), NO_NAME.to_owned())]
        }
        (_, Some(mark @ Mark::End(_))) => {
            let borrowers = keeps(Place::Secondary, BORROWS);
            match borrowers.is_empty() {
                true => vec![(mark.clone(), BORROWS.to_owned())],
                false => borrowers,
            }
        }
        // Used after a move.
        ("E0382", Some(mark)) => {
            vec![(mark.clone(), format!("it was moved in {}", cell.title))]
        }
        // Maybe without a value.
        ("E0381", Some(mark)) => {
            let reason = format!("{} may end without giving it a value", cell.title);
            vec![(mark.clone(), reason)]
        }
        // A closure that is put into a box borrows.
        ("E0373", _) => keeps(Place::Note, CAPTURES),
        // Borrowed for longer than it lives, moved or copied while borrowed, and the like: all because a variable that
        // borrows from another is to be kept.
        (
            "E0310" | "E0499" | "E0502" | "E0503" | "E0505" | "E0506" | "E0521" | "E0597" | "E0716",
            _,
        ) => {
            let borrowers = keeps(Place::Secondary, BORROWS);
            match borrowers.is_empty() {
                true => keeps(Place::Primary, BORROWS),
                false => borrowers,
            }
        }
        _ => keeps(Place::Primary, NO_NAME),
    }
}

/// Why a variable is not kept, and what to write instead.
pub const NO_NAME: &str = "its type has no name that a later cell could write: collect an iterator with \
    `.collect::<Vec<_>>()`, put a value that implements a trait into a box, such as `let f: Box<dyn Fn(i32) -> i32> = \
    Box::new(..)`, or make it anew in the cell that uses it";
pub const BORROWS: &str = "it borrows from another variable or value, and only values that own their data outlive their \
    cell: keep an owned value, as `.clone()`, `.to_owned()` or `.to_string()` give, or borrow in the cell that uses it";
const CAPTURES: &str = "it borrows what it captures, and only values that own their data outlive their cell: write \
    `move |..| ..`";
