//! Why ranks do not meet, or cannot go on.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum RanksError {
    #[error(
        "rank 0 cannot listen on port {port}: {source}; another process may use it, so give another MASTER_PORT"
    )]
    Listen { port: u16, source: io::Error },
    #[error("cannot reach rank 0 at {address} in {seconds} s: {reason}")]
    Unreachable {
        address: String,
        seconds: u64,
        reason: String,
    },
    #[error("of {world} ranks {missing:?} did not come in {seconds} s{refused}")]
    Missing {
        world: usize,
        missing: Vec<usize>,
        seconds: u64,
        /// Who came but was sent away, or nothing.
        refused: String,
    },
    #[error(
        "the store of the launcher at {address}, by which ranks meet, cannot be used: {reason}"
    )]
    Store { address: String, reason: String },
    #[error("stopped while waiting for the other ranks")]
    Stopped,
    #[error("{address} does not answer as a rank does: {reason}")]
    Silent { address: String, reason: String },
    #[error("{address} speaks another protocol: {reason}")]
    Protocol { address: String, reason: String },
    #[error(
        "{address} speaks version {theirs} of the ranks' protocol, this one speaks {ours}: run the same build on all ranks"
    )]
    Version {
        address: String,
        ours: u32,
        theirs: u32,
    },
    #[error("{address} does not know the secret of this job: give all ranks the same one")]
    Secret { address: String },
    #[error("rank 0 refused this rank: {0}")]
    Refused(String),
    #[error("rank {rank} has another configuration than rank 0: {theirs} instead of {ours}")]
    Configuration {
        rank: usize,
        ours: String,
        theirs: String,
    },
    #[error("rank {rank} ({address}) was lost: {reason}")]
    Lost {
        rank: usize,
        address: String,
        reason: String,
    },
    #[error(
        "rank {rank} is out of step: it is at {theirs} where this rank is at {ours}; all ranks must do the same"
    )]
    OutOfStep {
        rank: usize,
        ours: String,
        theirs: String,
    },
    #[error("the connection to {address} failed: {source}")]
    Io { address: String, source: io::Error },
}

pub(crate) fn io_error(address: &str) -> impl FnOnce(io::Error) -> RanksError {
    let address = address.to_owned();
    |source| RanksError::Io { address, source }
}
