//! What comes from the worker, in order.

use std::process::ExitStatus;

use carrel_protocol::{Ending, Output as Sent};

use crate::engine::StreamName;

/// What comes from the worker while a cell runs, in order. Threads of earlier cells may send outputs too.
#[derive(Debug)]
pub enum Event {
    Printed(StreamName, String),
    /// To be confirmed by [`Orders::taken`](super::Orders::taken). `cell` is 0 for the one that runs.
    Output {
        cell: u64,
        output: Sent,
    },
    /// To be answered by [`Orders::answer`](super::Orders::answer).
    Question {
        question: u64,
        prompt: String,
        password: bool,
    },
    Ended {
        ending: Ending,
        variables: Vec<String>,
    },
    /// The process is gone.
    Died(ExitStatus),
}
