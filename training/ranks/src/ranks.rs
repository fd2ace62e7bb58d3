//! All ranks of a job as one of them sees them.

use std::net::TcpStream;

use crate::meeting::SumOrder;
use crate::pulse::Pulse;

/// All ranks of a job, connected, as one of them sees them.
pub struct Ranks {
    pub(crate) rank: usize,
    /// None at the own place.
    pub(crate) peers: Vec<Option<Peer>>,
    pub(crate) servers: usize,
    /// The operations so far: they must be the same on all ranks.
    pub(crate) sequence: u32,
    pub(crate) sum_order: SumOrder,
    /// Numbers that were received and are no sums yet, kept from one sum to the next.
    pub(crate) rooms: Vec<f32>,
    pub(crate) pulse: Pulse,
}

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    /// The address, and the task if it has one: for people.
    pub(crate) name: String,
}

impl Ranks {
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
    pub fn with_servers(mut self, servers: usize) -> Self {
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
