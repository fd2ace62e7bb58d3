//! The kernel's wire, seen from a frontend. Evaluation is scripted here; real cells are run by the
//! conformance tests over the installed kernel.
#![allow(clippy::unwrap_used)]
mod cells;
mod execute;
mod frontend;
mod requests;
mod scripted;
mod wire;
