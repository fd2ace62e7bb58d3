//! Tests of the proxy over real connections.
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

mod failures;
mod gateway;
mod guard;
mod harness;
mod headers;
mod routes;
mod serving;
mod streaming;
mod tls;
mod websocket;
