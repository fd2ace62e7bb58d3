//! What is built before the first cell: the crates that every cell sees, and the programs beside them.

pub mod installation;
pub mod missing;
pub mod prepare;
