//! What the compiler's errors in our own lines mean: a variable that the cell moved is not given back, and one that
//! cannot outlive the cell is not kept. Compiling again without that line costs a moment and only in such cells.

use std::collections::HashMap;

use super::diagnostics::{CellSource, Diagnostic};
use super::source::Mark;

/// Lines to leave out, and what that means for their variable. Empty when the errors are the person's.
pub fn repair(diagnostics: &[Diagnostic], cell: &CellSource) -> HashMap<Mark, String> {
    diagnostics
        .iter()
        .flat_map(|diagnostic| repair_one(diagnostic, cell))
        .collect()
}

fn repair_one(diagnostic: &Diagnostic, cell: &CellSource) -> Vec<(Mark, String)> {
    let marks: Vec<(&Mark, bool)> = diagnostic.marks(&cell.file, &cell.source).collect();
    let primary = marks
        .iter()
        .find(|(_, primary)| *primary)
        .map(|(mark, _)| *mark);
    let moved = format!("it was moved in {}", cell.title);
    match (diagnostic.code(), primary) {
        (_, Some(mark @ Mark::Take(_))) => {
            let reason = "its type has no name that a later cell could write";
            vec![(mark.clone(), reason.to_owned())]
        }
        // Used after a move.
        ("E0382", Some(mark)) => vec![(mark.clone(), moved)],
        // Maybe without a value.
        ("E0381", Some(mark)) => {
            let reason = format!("{} may end without giving it a value", cell.title);
            vec![(mark.clone(), reason)]
        }
        // Borrowed for longer than it lives, moved while borrowed, and the like: all because a variable that
        // borrows from another is to be kept.
        ("E0310" | "E0499" | "E0502" | "E0505" | "E0506" | "E0521" | "E0597" | "E0716", _) => {
            let keeps = |wanted: bool| {
                marks
                    .iter()
                    .filter(move |(mark, primary)| {
                        matches!(mark, Mark::Keep(_)) && *primary == wanted
                    })
                    .map(|(mark, _)| ((*mark).clone(), borrows()))
                    .collect::<Vec<_>>()
            };
            let borrowers = keeps(false);
            if borrowers.is_empty() {
                keeps(true)
            } else {
                borrowers
            }
        }
        _ => Vec::new(),
    }
}

fn borrows() -> String {
    "it borrows from another variable or value, and only values that own their data outlive their cell".to_owned()
}
