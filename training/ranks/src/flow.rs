//! Bytes between this rank and others, in both directions and with several peers at once, on one thread: whatever can
//! be sent or received at the moment is, and only where nothing can the thread sleeps.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::error::RanksError;
use crate::operation::{Head, out_of_step};
use crate::ranks::Ranks;
use crate::stream::{sleep, some, unless_full};

/// How long a rank that waits for another stays awake, for to wake it takes about as long; other ranks on the same
/// processor go first.
const AWAKE: Duration = Duration::from_micros(100);

/// The pieces that an operation sends and receives, in order for each peer.
pub(crate) trait Plan {
    /// The ranks that it exchanges pieces with.
    fn peers(&self) -> Vec<usize>;

    /// The next piece for a peer; none when all were sent, or while it depends on one that has not come.
    fn outgoing(&self, to: usize) -> Option<&[u8]>;

    fn sent(&mut self, to: usize);

    /// Room for the next piece of a peer; none when all have come, or while the room is taken.
    fn incoming(&mut self, from: usize) -> Option<&mut [u8]>;

    fn received(&mut self, from: usize);

    fn is_done(&self) -> bool;
}

/// How far the exchange with one peer is: bytes of the current pieces, and before the first ones of the head.
struct Lane {
    peer: usize,
    head: Head,
    head_sent: usize,
    sent: usize,
    head_received: usize,
    received: usize,
}

impl Ranks {
    /// Carries out a plan.
    pub(crate) fn flow(&self, plan: &mut impl Plan, head: Head) -> Result<(), RanksError> {
        let mut lanes: Vec<Lane> = plan.peers().into_iter().map(Lane::new).collect();
        let mut moved_at = Instant::now();
        while !plan.is_done() {
            let mut moved = false;
            for lane in &mut lanes {
                moved |= self.with(lane.peer, |stream| lane.send(stream, &head, plan))?;
                moved |= self.with(lane.peer, |stream| lane.receive(stream, plan))?;
                if lane.head_received == head.len() && lane.head != head {
                    return Err(out_of_step(lane.peer, &head, &lane.head));
                }
            }
            if moved {
                moved_at = Instant::now();
            } else if moved_at.elapsed() < AWAKE {
                thread::yield_now();
            } else {
                self.wait(&lanes, plan)?;
            }
        }
        Ok(())
    }

    /// Until a piece can be sent or received.
    fn wait(&self, lanes: &[Lane], plan: &mut impl Plan) -> Result<(), RanksError> {
        let mut waiting = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLOUT, plan.outgoing(lane.peer).is_some());
            events.set(PollFlags::POLLIN, plan.incoming(lane.peer).is_some());
            if let (false, Some(peer)) = (events.is_empty(), &self.peers[lane.peer]) {
                waiting.push(PollFd::new(peer.stream.as_fd(), events));
            }
        }
        let first = lanes.first().map_or(self.rank, |lane| lane.peer);
        self.with(first, |_| sleep(&mut waiting, PollTimeout::NONE))
    }
}

impl Lane {
    fn new(peer: usize) -> Self {
        Self {
            peer,
            head: [0; 16],
            head_sent: 0,
            sent: 0,
            head_received: 0,
            received: 0,
        }
    }

    /// Sends of the current piece what the connection takes; false where there is nothing to send, or no room.
    fn send(
        &mut self,
        mut stream: &TcpStream,
        head: &Head,
        plan: &mut impl Plan,
    ) -> io::Result<bool> {
        let Some(piece) = plan.outgoing(self.peer) else {
            return Ok(false);
        };
        let (head, piece) = (&head[self.head_sent..], &piece[self.sent..]);
        let left = head.len() + piece.len();
        let parts = [IoSlice::new(head), IoSlice::new(piece)];
        let count = unless_full(|| stream.write_vectored(&parts))?;
        self.head_sent += count.min(head.len());
        self.sent += count.saturating_sub(head.len());
        if count == left {
            self.sent = 0;
            plan.sent(self.peer);
        }
        Ok(count > 0 || left == 0)
    }

    /// Receives of the current piece what is there; false where nothing is expected, or nothing came.
    fn receive(&mut self, mut stream: &TcpStream, plan: &mut impl Plan) -> io::Result<bool> {
        let Some(piece) = plan.incoming(self.peer) else {
            return Ok(false);
        };
        let (head, piece) = (
            &mut self.head[self.head_received..],
            &mut piece[self.received..],
        );
        let (of_head, left) = (head.len(), head.len() + piece.len());
        let mut parts = [IoSliceMut::new(head), IoSliceMut::new(piece)];
        let count = match left {
            0 => 0,
            _ => unless_full(|| some(stream.read_vectored(&mut parts)))?,
        };
        self.head_received += count.min(of_head);
        self.received += count.saturating_sub(of_head);
        if count == left {
            self.received = 0;
            plan.received(self.peer);
        }
        Ok(count > 0 || left == 0)
    }
}
