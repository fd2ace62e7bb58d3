//! A Jupyter kernel for Rust: the protocol side, and behind [`engine::Engine`] the evaluation of cells.
mod comms;
mod complete;
pub mod connection;
mod control;
pub mod engine;
mod execute;
pub mod history;
mod info;
mod iopub;
mod is_complete;
pub mod kernel;
pub mod kernelspec;
pub mod rust_engine;
mod shell;
mod sockets;
mod stdin;
pub mod wire;
pub mod zmtp;
