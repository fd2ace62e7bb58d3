//! Ranks as threads of one process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod environment;
mod harness;
mod meeting;
mod sums;
mod threads;
