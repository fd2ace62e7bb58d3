//! The dashboard as a service of a real Hub: with a Kubernetes of the tests' own, and with a real one (`make test-cluster`).
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

mod access;
mod api;
mod chart;
mod cluster;
mod fake;
mod fixtures;
mod jobs;
mod login;
mod logs;
mod looks;
mod site;
mod training;
