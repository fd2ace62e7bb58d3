//! Sums, copies and barriers over the connections between all ranks.
//!
//! A sum is a reduce-scatter and an all-gather, each directly between all pairs of ranks: rank r adds up the r-th part
//! of everyone's numbers, in the order of the ranks, and sends the sum to all. As in a ring, each rank sends and
//! receives 2 (n - 1) / n of the data, but in two steps instead of 2 (n - 1).

use std::io::{self, Read, Write};
use std::ops::Range;
use std::thread;
use std::time::Duration;

use super::{Peer, Ranks, RanksError};

/// What fits into the buffers of a connection on every system: it is sent without waiting for the receiver.
const FITS: usize = 48 << 10;
/// Elements of one part that are summed at once: they and the received ones stay in the processor's cache.
const BLOCK: usize = 1 << 16;
/// How long to wait for word of who was lost, when a connection broke.
const WORD: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Sum = 1,
    Broadcast = 2,
    Gather = 3,
}

impl Ranks {
    /// Replaces `values` by their sums over all ranks.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn all_reduce_sum(&mut self, values: &mut [f32]) -> Result<(), RanksError> {
        let world = self.world();
        if world == 1 {
            return Ok(());
        }
        self.sequence = self.sequence.wrapping_add(1);
        let mut scratch = vec![0f32; world * BLOCK.min(values.len().div_ceil(world))];
        for block in values.chunks_mut(world * BLOCK) {
            self.reduce_block(block, &mut scratch)?;
        }
        Ok(())
    }

    fn reduce_block(&mut self, values: &mut [f32], scratch: &mut [f32]) -> Result<(), RanksError> {
        let (rank, world) = (self.rank, self.world());
        let part = |of: usize| of * values.len() / world..(of + 1) * values.len() / world;
        let own = part(rank);
        let received = &mut scratch[..own.len() * world];
        received[rank * own.len()..][..own.len()].copy_from_slice(&values[own.clone()]);
        let parts: Vec<Range<usize>> = (0..world).map(part).collect();
        let outgoing = |to: usize| bytemuck::cast_slice(&values[parts[to].clone()]);
        let mut incoming: Vec<&mut [u8]> = match own.len() {
            0 => (0..world).map(|_| <&mut [u8]>::default()).collect(),
            length => received
                .chunks_mut(length)
                .map(bytemuck::cast_slice_mut)
                .collect(),
        };
        self.exchange(Operation::Sum, outgoing, &mut incoming)?;
        // In the order of the ranks, on whichever rank it is done.
        values[own.clone()].copy_from_slice(&received[..own.len()]);
        for from in 1..world {
            let addends = &received[from * own.len()..][..own.len()];
            values[own.clone()]
                .iter_mut()
                .zip(addends)
                .for_each(|(sum, value)| *sum += value);
        }
        let sum = values[own].to_vec();
        let mut incoming = Vec::with_capacity(world);
        let mut rest = &mut *values;
        for part in &parts {
            let (head, tail) = rest.split_at_mut(part.len());
            incoming.push(bytemuck::cast_slice_mut(head));
            rest = tail;
        }
        self.exchange(
            Operation::Sum,
            |_| bytemuck::cast_slice(&sum),
            &mut incoming,
        )
    }

    /// Replaces `values` by their means over all ranks.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn all_reduce_mean(&mut self, values: &mut [f32]) -> Result<(), RanksError> {
        self.all_reduce_sum(values)?;
        let share = 1.0 / self.world() as f32;
        values.iter_mut().for_each(|value| *value *= share);
        Ok(())
    }

    /// The bytes of rank `root`, on every rank.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn broadcast(&mut self, root: usize, bytes: &[u8]) -> Result<Vec<u8>, RanksError> {
        self.sequence = self.sequence.wrapping_add(1);
        if self.rank == root {
            let head = self.head(Operation::Broadcast, bytes.len());
            for peer in (0..self.world()).filter(|peer| *peer != root) {
                self.write(peer, &head)?;
                self.write(peer, bytes)?;
            }
            Ok(bytes.to_vec())
        } else {
            self.receive_any(root, Operation::Broadcast)
        }
    }

    /// The bytes of all ranks, in their order, on every rank.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn all_gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        self.sequence = self.sequence.wrapping_add(1);
        let (rank, world) = (self.rank, self.world());
        let head = self.head(Operation::Gather, bytes.len());
        let this = &*self;
        thread::scope(|scope| {
            let sending = scope.spawn(move || {
                others(rank, world).try_for_each(|peer| {
                    this.write(peer, &head)?;
                    this.write(peer, bytes)
                })
            });
            let mut all = vec![Vec::new(); world];
            all[rank] = bytes.to_vec();
            let received = others_backwards(rank, world).try_for_each(|peer| {
                all[peer] = this.receive_any(peer, Operation::Gather)?;
                Ok(())
            });
            joined(sending)?;
            received.map(|()| all)
        })
    }

    /// Waits until all ranks are here.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn barrier(&mut self) -> Result<(), RanksError> {
        self.all_gather(&[]).map(|_| ())
    }

    /// Sends to every other rank what `outgoing` says, while receiving from each as much as `incoming` takes.
    fn exchange<'a>(
        &self,
        operation: Operation,
        outgoing: impl Fn(usize) -> &'a [u8] + Sync,
        incoming: &mut [&mut [u8]],
    ) -> Result<(), RanksError> {
        let (rank, world) = (self.rank, self.world());
        let send_all = || {
            others(rank, world).try_for_each(|peer| {
                let bytes = outgoing(peer);
                let head = self.head(operation, bytes.len());
                if bytes.len() <= FITS {
                    return self.write(peer, &[&head, bytes].concat());
                }
                self.write(peer, &head)?;
                self.write(peer, bytes)
            })
        };
        // In the opposite order: who sends to the next receives from the one before.
        let mut receive_all = || {
            others_backwards(rank, world).try_for_each(|peer| {
                let length = self.receive_head(peer, operation)?;
                if length != incoming[peer].len() {
                    let theirs = format!("{operation:?} of {length} bytes");
                    let ours = format!("{operation:?} of {} bytes", incoming[peer].len());
                    return Err(RanksError::OutOfStep {
                        rank: peer,
                        ours,
                        theirs,
                    });
                }
                self.read(peer, incoming[peer])
            })
        };
        if others(rank, world).all(|peer| outgoing(peer).len() <= FITS) {
            send_all()?;
            return receive_all();
        }
        thread::scope(|scope| {
            let sending = scope.spawn(send_all);
            let received = receive_all();
            // Its error, if any, has the same cause.
            let sent = joined(sending);
            received.and(sent)
        })
    }

    fn head(&self, operation: Operation, length: usize) -> [u8; 16] {
        let mut head = [0; 16];
        head[0] = operation as u8;
        head[4..8].copy_from_slice(&self.sequence.to_le_bytes());
        head[8..].copy_from_slice(&(length as u64).to_le_bytes());
        head
    }

    /// The length of what follows.
    fn receive_head(&self, peer: usize, operation: Operation) -> Result<usize, RanksError> {
        let mut found = [0; 16];
        self.read(peer, &mut found)?;
        let [.., a, b, c, d, e, f, g, h] = found;
        let length = u64::from_le_bytes([a, b, c, d, e, f, g, h]) as usize;
        let expected = self.head(operation, length);
        if found == expected {
            return Ok(length);
        }
        let name = |head: [u8; 16]| {
            let number = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
            let kinds = [Operation::Sum, Operation::Broadcast, Operation::Gather];
            let kind = kinds.into_iter().find(|kind| *kind as u8 == head[0]);
            kind.map_or_else(
                || "no operation".to_owned(),
                |kind| format!("{kind:?} number {number}"),
            )
        };
        Err(RanksError::OutOfStep {
            rank: peer,
            ours: name(expected),
            theirs: name(found),
        })
    }

    fn receive_any(&self, peer: usize, operation: Operation) -> Result<Vec<u8>, RanksError> {
        let length = self.receive_head(peer, operation)?;
        let mut bytes = vec![0; length];
        self.read(peer, &mut bytes)?;
        Ok(bytes)
    }

    fn read(&self, rank: usize, bytes: &mut [u8]) -> Result<(), RanksError> {
        self.with(rank, |peer| (&peer.stream).read_exact(bytes))
    }

    fn write(&self, rank: usize, bytes: &[u8]) -> Result<(), RanksError> {
        self.with(rank, |peer| (&peer.stream).write_all(bytes))
    }

    /// A connection that fails means that a rank was lost: this one, or the one whose loss closed it.
    fn with(
        &self,
        rank: usize,
        act: impl FnOnce(&Peer) -> io::Result<()>,
    ) -> Result<(), RanksError> {
        let Some(peer) = self.peers.get(rank).and_then(Option::as_ref) else {
            return Ok(());
        };
        act(peer).map_err(|error| match self.pulse.lost_within(WORD) {
            Some(loss) => RanksError::Lost {
                rank: loss.rank,
                address: loss.address,
                reason: loss.reason,
            },
            None => RanksError::Lost {
                rank,
                address: peer.address.to_string(),
                reason: error.to_string(),
            },
        })
    }
}

/// All ranks but `rank`, from the next one on.
fn others(rank: usize, world: usize) -> impl Iterator<Item = usize> + Clone {
    (1..world).map(move |step| (rank + step) % world)
}

/// All ranks but `rank`, from the one before on.
fn others_backwards(rank: usize, world: usize) -> impl Iterator<Item = usize> {
    (1..world).map(move |step| (rank + world - step) % world)
}

fn joined(thread: thread::ScopedJoinHandle<'_, Result<(), RanksError>>) -> Result<(), RanksError> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
