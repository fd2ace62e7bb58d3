//! What a cell must have in sight: the compiler takes longer to read the prepared crates than for a small cell.

use carrel_cell::parse::Parsed;
use carrel_cell::types::is_light;

use super::Notebook;
use crate::rust_engine::dependencies::Crates;

/// Words of cells that need the prepared crates; others are learned.
const PRELUDE_NAMES: [&str; 13] = [
    "Tensor",
    "Device",
    "DType",
    "candle_core",
    "candle_nn",
    "carrel_training",
    "carrel_prelude",
    "Comm",
    "on_comm_open",
    "json",
    "plot",
    "Plot",
    "widgets",
];

impl Notebook {
    /// Whether a cell or the items that it sees have a word.
    pub fn mentions(&self, parsed: &Parsed, word: &str) -> bool {
        let mut items = parsed.items.iter();
        parsed.words.contains(word)
            || items.any(|item| item.words.contains(word))
            || self.items.mention(word)
    }

    /// Whether a cell seems to name something of the prepared crates, or sees them through earlier cells' `items`. If it
    /// does and this is false, it is compiled twice.
    pub fn needs_prelude(&self, parsed: &Parsed, dependencies: &Crates, items: bool) -> bool {
        let own = parsed.items.iter();
        let mut words = own.flat_map(|item| &item.words).chain(&parsed.words);
        let known = |name: &str| is_light(name) || dependencies.named.contains_key(name);
        let mut variables = self.variables.iter();
        items && self.items.have_prelude(self.items.cells.len())
            // A name that it defines out of sight could be one of theirs.
            || parsed.items.iter().any(|item| item.names.is_none())
            || words.any(|word| PRELUDE_NAMES.contains(&&**word) || self.prelude_names.contains(word))
            || variables.any(|(name, variable)| {
                parsed.words.contains(name) && !variable.r#type.crates().all(known)
            })
    }
}
