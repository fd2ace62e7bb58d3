//! The kernel's wire, seen from a frontend over a scripted engine; and real cells, run by the engine alone.
#![allow(clippy::unwrap_used)]
mod analyzer;
mod awaits;
mod cells;
mod commands;
mod comms;
mod completion;
mod corpus;
mod deps;
mod displays;
mod execute;
mod failures;
mod frontend;
mod history;
mod impls;
mod interrupts;
mod items;
mod links;
mod notebook;
mod outputs;
mod requests;
mod scripted;
mod stdin;
mod subshells;
mod training;
mod wire;
mod zmtp;
