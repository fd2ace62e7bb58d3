//! The jobs service: what it answers and decides without a cluster, and with one (`make test-cluster`).
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

mod chart;
mod cluster;
mod functions;
mod models;
mod objects;
mod plan;
mod refusals;
mod reports;
mod site;
