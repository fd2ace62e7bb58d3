//! From source to a library, or to what is wrong with it.

pub mod compile;
pub mod repair;
pub mod rustc;
