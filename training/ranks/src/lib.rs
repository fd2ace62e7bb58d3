//! Ranks: the processes of one job. How they find one another, and what they do together: sums, copies, barriers. Knows
//! no tensor: numbers are slices.
//!
//! Every operation is called by all ranks in the same order. Sums are the same, bit for bit, on every rank and in every
//! run of as many ranks. They are made here because no crate makes them in Rust: rsmpi wraps an MPI of the system, and
//! bindings to gloo and NCCL their C++.

mod collectives;
mod connect;
mod dial;
mod door;
mod environment;
mod error;
mod flow;
mod handshake;
mod lock;
mod meeting;
mod messages;
mod numbers;
mod operation;
mod pulse;
mod ranks;
mod store;
mod stream;
mod sums;

pub use environment::{
    Environment, EnvironmentError, SILENCE_VARIABLE, START_VARIABLE, Task, TaskKind, free_port,
};
pub use error::RanksError;
pub use lock::lock;
pub use meeting::{Meeting, SumOrder};
pub use messages::{Inbox, Message};
pub use numbers::{add, scale};
pub use operation::Operation;
pub use ranks::Ranks;
