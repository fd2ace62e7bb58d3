//! A Jupyter kernel for Rust.
pub mod engine;
