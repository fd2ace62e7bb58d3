//! Jobs as data: what stands in `training-serving.md` 1.1 to 1.3, and the walkthrough's files byte for byte.
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

mod convert;
mod definition;
mod environment;
mod harness;
mod names;
mod read;
mod trainjob;
