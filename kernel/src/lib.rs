//! A Jupyter kernel for Rust: the protocol side, and behind [`engine::Engine`] the evaluation of cells.
mod comms;
mod complete;
pub mod connection;
mod control;
pub mod engine;
#[cfg(feature = "evcxr")]
pub mod evcxr_engine;
pub mod history;
mod info;
mod iopub;
mod is_complete;
mod kernel;
pub mod kernelspec;
mod lanes;
mod paths;
mod replies;
pub mod rust_engine;
pub mod server;
mod shell;
mod sockets;
mod stdin;
pub mod wire;
