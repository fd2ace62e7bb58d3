//! `carrel-train` as processes: the seed's tasks, signals, lost ranks, jobs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod acceptance;
mod disk;
mod functions;
mod harness;
mod http;
mod jobs;
mod progress;
mod ranks;
mod remote;
mod remote_functions;
mod reports;
mod servers;
