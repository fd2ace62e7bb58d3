//! The operator: what it makes of jobs without a cluster, and with one (`make test-cluster`).
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

mod api;
mod certificate;
mod chart;
mod cluster;
mod definitions;
mod gang;
mod leader;
mod limits;
mod logs;
mod objects;
mod plan;
mod reconcile;
mod reports;
mod start;
mod status;
mod train;
mod usage;
mod watched;
mod webhook;
mod world;
