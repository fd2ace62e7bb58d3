//! Tests of the configuration file: what is read, what is refused and with which words.

#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod errors;
mod reference;
mod values;
