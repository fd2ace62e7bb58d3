//! Ranks: the processes of one job. How they find one another, and what they do together: sums, copies, barriers.
//! Every operation is called by all ranks in the same order. Sums are the same, bit for bit, on every rank and in every
//! run of as many ranks.

mod collectives;
mod connect;
mod door;
mod environment;
mod flow;
mod handshake;
mod messages;
mod operation;
mod pulse;
mod store;
mod stream;
mod sums;

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

pub use environment::{
    Environment, EnvironmentError, SILENCE_VARIABLE, START_VARIABLE, Task, TaskKind, free_port,
};
pub(crate) use messages::{Inbox, Message};
pub(crate) use operation::Operation;

use pulse::Pulse;

/// How ranks meet.
#[derive(Clone)]
pub struct Meeting {
    pub environment: Environment,
    /// What all ranks of the job know and nobody else.
    pub secret: Vec<u8>,
    /// What must be equal on all ranks, such as the recipe with its numbers.
    pub configuration: String,
    pub sum_order: SumOrder,
    /// How long ranks may take to start.
    pub start_within: Duration,
    /// How long a rank may give no sign of life.
    pub silence: Duration,
    /// Asked while waiting for the others; where it says so, this rank no longer waits.
    pub stop: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Meeting {
    /// With the environment's times to start and of silence.
    pub fn new(environment: Environment) -> Self {
        Self {
            secret: Vec::new(),
            configuration: String::new(),
            sum_order: SumOrder::default(),
            start_within: environment.start_within,
            silence: environment.silence,
            stop: Arc::new(|| false),
            environment,
        }
    }

    /// All that must be equal on all ranks.
    fn whole_configuration(&self) -> String {
        match self.sum_order {
            SumOrder::Any => self.configuration.clone(),
            SumOrder::Ranks => format!("{}; sums in the order of the ranks", self.configuration),
        }
    }
}

/// In which order numbers are added; floating-point sums depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SumOrder {
    /// The quickest one. It depends on the number of ranks, and on where a number stands among those that are summed
    /// in one go.
    #[default]
    Any,
    /// That of the ranks, whatever else is summed with a number.
    Ranks,
}

/// All ranks of a job, connected, as one of them sees them.
pub struct Ranks {
    rank: usize,
    /// None at the own place.
    peers: Vec<Option<Peer>>,
    servers: usize,
    /// The operations so far: they must be the same on all ranks.
    sequence: u32,
    sum_order: SumOrder,
    /// Numbers that were received and are no sums yet, kept from one sum to the next.
    rooms: Vec<f32>,
    pulse: Pulse,
}

struct Peer {
    stream: TcpStream,
    /// The address, and the task if it has one: for people.
    name: String,
}

impl Ranks {
    /// Waits for all ranks. Rank 0 listens at the port of the environment, the others call there.
    ///
    /// # Errors
    /// When a rank does not come in time, lacks the secret, speaks another version or has another configuration.
    pub fn connect(meeting: &Meeting) -> Result<Self, RanksError> {
        connect::connect(meeting)
    }

    /// A job of one rank.
    pub fn alone() -> Self {
        Self {
            rank: 0,
            peers: vec![None],
            servers: 0,
            sequence: 0,
            sum_order: SumOrder::default(),
            rooms: Vec::new(),
            pulse: Pulse::default(),
        }
    }

    /// Leaves so that the others take this rank for lost: for a rank that failed.
    pub fn abort(self) {
        self.pulse.abort();
    }

    /// Lets the last `servers` ranks hold the parameters: they take no part in what the others do together.
    #[must_use]
    pub(crate) fn with_servers(mut self, servers: usize) -> Self {
        self.servers = servers;
        self
    }

    /// This one's number, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The number of ranks that train.
    pub fn world(&self) -> usize {
        self.peers.len() - self.servers
    }

    /// The number of ranks that hold the parameters.
    pub fn servers(&self) -> usize {
        self.servers
    }
}

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
