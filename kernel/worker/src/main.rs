//! The process that loads and runs compiled cells.
fn main() {}
