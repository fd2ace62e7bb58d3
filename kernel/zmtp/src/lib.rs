//! ZMTP 3.1 for a server (ZeroMQ RFC 23 and 37): the sockets of a kernel, with a bound on all that a client can make it
//! hold. Knows no Jupyter.
//!
//! The `zeromq` crate 0.7 would do but for three things that a client must not be able to do to a kernel: it allocates
//! what a frame's head claims, it closes the connection on a `PING`, and its XPUB waits for a subscriber that does not read.

use std::time::Duration;

mod greeting;
mod listener;
mod outbox;
mod peer;
mod reader;
mod rep;
mod router;
mod xpub;

pub use listener::{Address, Listener};
pub use peer::Accepting;
pub use rep::echo;
pub use router::{Received, Router, Unsent};
pub use xpub::{Subscription, XPub};

/// What clients can make a socket hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one message received, with 64 more for each frame. A client that sends more is dropped.
    pub message: usize,
    /// Bytes of all messages received that were not handled yet. Beyond them, clients wait.
    pub received: usize,
    /// Bytes that wait to be sent to one client, not counting the newest message. Beyond them, who sends waits.
    pub waiting: usize,
    /// A client for which that much waits, and which takes nothing for so long, is dropped.
    pub stall: Duration,
    /// Connections at a time; more are closed at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 256 << 20,
            received: 512 << 20,
            waiting: 64 << 20,
            stall: Duration::from_secs(5),
            connections: 512,
        }
    }
}

/// A ZeroMQ socket type; each serves clients of some others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rep,
    Router,
    XPub,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Rep => "REP",
            Self::Router => "ROUTER",
            Self::XPub => "XPUB",
        }
    }

    fn serves(self, client: &[u8]) -> bool {
        let clients: &[&str] = match self {
            Self::Rep => &["REQ", "DEALER"],
            Self::Router => &["REQ", "DEALER", "ROUTER"],
            Self::XPub => &["SUB", "XSUB"],
        };
        clients.iter().any(|name| name.as_bytes() == client)
    }
}
