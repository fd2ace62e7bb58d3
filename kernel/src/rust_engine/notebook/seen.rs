//! What a new cell sees of the notebook, as the analyzer is told it.

use std::path::Path;

use carrel_cell::generate::piece;
use carrel_cell::items::ItemCell;
use carrel_cell::parse::{Part, is_visibility};
use carrel_cell::source::Source;
use carrel_protocol::analysis;

use super::Notebook;
use crate::rust_engine::dependencies::Dependencies;

/// Items, variables and the crates of `:dep`; the process adds those that are there without.
pub fn seen(notebook: &Notebook, dependencies: &Dependencies) -> analysis::Notebook {
    let items = notebook.items.cells.iter().map(|cell| analysis::Items {
        name: cell.name.clone(),
        title: cell.title.clone(),
        names: cell
            .items
            .iter()
            .filter_map(|item| item.names.clone())
            .flatten()
            .collect(),
        source: source(cell),
    });
    let variables = notebook.variables.iter();
    let variables = variables.map(|(name, variable)| analysis::Variable {
        name: name.clone(),
        r#type: variable.r#type.with_own_cells().to_string(),
        mutable: variable.mutable,
    });
    analysis::Notebook {
        crates: dependencies
            .sources()
            .map(Path::to_owned)
            .into_iter()
            .collect(),
        items: items.collect(),
        variables: variables.collect(),
    }
}

/// A cell's items with what makes them visible, and without what is only there to run them.
fn source(cell: &ItemCell) -> String {
    let mut source = Source::default();
    for item in &cell.items {
        let edits = item
            .part
            .edits
            .iter()
            .filter(|(_, text)| is_visibility(text));
        let part = Part {
            range: item.part.range.clone(),
            edits: edits.cloned().collect(),
        };
        piece(&mut source, &cell.code, &part);
        source.line("");
    }
    source.text().to_owned()
}
