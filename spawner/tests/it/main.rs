//! Tests of the spawners: with real processes, and with a cluster where there is one.

#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

mod account;
mod adopt;
mod environment;
mod harness;
mod kube;
mod names;
mod port;
mod start;
mod stop;
