//! Ranks, by the path that cells and programs of training name them.

pub use carrel_ranks::{
    Environment, EnvironmentError, Meeting, Ranks, RanksError, SILENCE_VARIABLE, START_VARIABLE,
    SumOrder, Task, TaskKind, free_port,
};
