//! The model server on real networks and ONNX Runtime, asked as its clients do.
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

mod auth;
mod batching;
mod broken;
mod chart;
mod child;
mod clients;
mod cluster;
mod config;
mod expansion;
mod fetch;
mod kserve;
mod lazy;
mod limits;
#[path = "../../../tests/it/mutations.rs"]
mod mutations;
#[allow(dead_code)] // Shared with the tests of the library.
#[path = "../../../tests/it/site.rs"]
mod networks;
mod openapi;
mod process;
mod reload;
mod server;
mod tensorflow;
mod tls;
