//! A Jupyter kernel for Rust.
