//! Cells as text: what one holds, the source that is made of it, the items that later cells see, and what the compiler says
//! of all that. No process, no file, no notebook.

pub mod diagnostics;
pub mod generate;
pub mod items;
pub mod merge;
pub mod parse;
pub mod rank;
pub mod source;
pub mod type_text;
pub mod types;
