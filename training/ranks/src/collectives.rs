//! Copies and barriers over the connections between all ranks.

use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::error::RanksError;
use crate::operation::{Head, Operation, out_of_step};
use crate::ranks::Ranks;
use crate::stream::{read_all, write_all};

/// How long to wait for word of who was lost, when a connection broke.
const WORD: Duration = Duration::from_secs(2);

impl Ranks {
    /// The bytes of rank `root`, on every rank.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn broadcast(&mut self, root: usize, bytes: &[u8]) -> Result<Vec<u8>, RanksError> {
        self.sequence = self.sequence.wrapping_add(1);
        if self.rank == root {
            let head = Operation::Broadcast.head(self.sequence, bytes.len());
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
        let head = Operation::Gather.head(self.sequence, bytes.len());
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

    /// The length of what follows.
    fn receive_head(&self, peer: usize, operation: Operation) -> Result<usize, RanksError> {
        let mut found: Head = [0; 16];
        self.read(peer, &mut found)?;
        let length = Operation::of(&found).2 as usize;
        let expected = operation.head(self.sequence, length);
        match found == expected {
            true => Ok(length),
            false => Err(out_of_step(peer, &expected, &found)),
        }
    }

    fn receive_any(&self, peer: usize, operation: Operation) -> Result<Vec<u8>, RanksError> {
        let length = self.receive_head(peer, operation)?;
        let mut bytes = vec![0; length];
        self.read(peer, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn read(&self, rank: usize, bytes: &mut [u8]) -> Result<(), RanksError> {
        self.with(rank, |stream| read_all(stream, bytes))
    }

    pub(crate) fn write(&self, rank: usize, bytes: &[u8]) -> Result<(), RanksError> {
        self.with(rank, |stream| write_all(stream, bytes))
    }

    /// A connection that fails means that a rank was lost: this one, or the one whose loss closed it.
    pub(crate) fn with<T: Default>(
        &self,
        rank: usize,
        act: impl FnOnce(&TcpStream) -> io::Result<T>,
    ) -> Result<T, RanksError> {
        let Some(peer) = self.peers.get(rank).and_then(Option::as_ref) else {
            return Ok(T::default());
        };
        act(&peer.stream).map_err(|error| match self.pulse.lost_within(WORD) {
            Some(loss) => RanksError::Lost {
                rank: loss.rank,
                address: loss.address,
                reason: loss.reason,
            },
            None => RanksError::Lost {
                rank,
                address: peer.name.clone(),
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
