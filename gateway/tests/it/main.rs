//! Tests of the gateway: from objects of Kubernetes to answers over real connections.
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

mod admin;
mod chart;
mod cluster;
mod contests;
mod failures;
mod harness;
mod looks;
mod mappings;
mod origin;
mod program;
mod routes;
mod statuses;
mod tls;
