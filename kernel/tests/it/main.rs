//! The kernel's wire, seen from a frontend over a scripted engine; and real cells, run by the engine alone.
#![allow(clippy::unwrap_used)]
mod cells;
mod commands;
mod execute;
mod failures;
mod frontend;
mod history;
mod interrupts;
mod items;
mod notebook;
mod outputs;
mod requests;
mod scripted;
mod subshells;
mod wire;
mod zmtp;
