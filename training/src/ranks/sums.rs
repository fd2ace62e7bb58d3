//! Sums over all ranks.
//!
//! Numbers are cut into blocks, and blocks into as many parts as there are ranks. First each part is added up, then its
//! sum goes to all: a reduce-scatter and an all-gather, in which each rank sends and receives 2 (n - 1) / n of the
//! data. Blocks follow one another closely: while one is received, others are added and sent. Three ways:
//! - in a ring, where each rank sends to the next one only: for much data over more than two ranks;
//! - directly, each rank with every other: sums are made in the order of the ranks;
//! - whole, where each rank sends all it has to every other and waits only once: for few data, in that order too.

mod direct;
mod ring;
mod whole;

use std::mem;
use std::ops::Range;

use super::operation::Operation;
use super::{Ranks, RanksError, SumOrder};
use crate::cpu::{add, scale};

/// Numbers of one part: those of the blocks under way stay in the processor's cache.
const PART: usize = 1 << 15;
/// How many blocks one step of a block's way is behind the step before: what is sent meanwhile hides the waiting.
const LAG: usize = 2;
/// Blocks whose parts have room at once; more than the lag, or ranks could wait for one another for ever.
const ROOMS: usize = 2 * LAG;
/// What is sent whole: by two ranks, where that moves no more bytes than parts do, and by more.
const WHOLE_OF_TWO: usize = 1 << 18;
const WHOLE: usize = 1 << 12;
/// From so many bytes on ranks form a ring; with fewer its many steps take longer than they save.
const RING: usize = 1 << 24;

impl Ranks {
    /// Replaces `values` by their sums over all ranks, the same on each, bit for bit.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn all_reduce_sum(&mut self, values: &mut [f32]) -> Result<(), RanksError> {
        self.all_reduce(values, 1.0)
    }

    /// Replaces `values` by their means over all ranks, the same on each, bit for bit.
    ///
    /// # Errors
    /// When a rank is lost or does something else.
    pub fn all_reduce_mean(&mut self, values: &mut [f32]) -> Result<(), RanksError> {
        self.all_reduce(values, 1.0 / self.world() as f32)
    }

    fn all_reduce(&mut self, values: &mut [f32], factor: f32) -> Result<(), RanksError> {
        let world = self.world();
        if world == 1 {
            return Ok(());
        }
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = size_of_val(values);
        let head = Operation::Sum.head(self.sequence, bytes);
        let mut rooms = mem::take(&mut self.rooms);
        let job = Job {
            rank: self.rank,
            world,
            factor,
            values,
            rooms: &mut rooms,
        };
        let whole = if world == 2 { WHOLE_OF_TWO } else { WHOLE };
        let any_order = self.sum_order == SumOrder::Any;
        let summed = if bytes <= whole {
            self.flow(&mut whole::Whole::new(job), head)
        } else if world > 2 && bytes >= RING && any_order {
            self.flow(&mut ring::Ring::new(job), head)
        } else {
            self.flow(&mut direct::Direct::new(job), head)
        };
        self.rooms = rooms;
        summed
    }
}

/// What is summed, as one rank sees it.
struct Job<'a> {
    rank: usize,
    world: usize,
    /// For the sums.
    factor: f32,
    values: &'a mut [f32],
    /// For what is received and not a sum yet.
    rooms: &'a mut Vec<f32>,
}

impl Job<'_> {
    fn others(&self) -> Vec<usize> {
        let (rank, world) = (self.rank, self.world);
        (1..world).map(|step| (rank + step) % world).collect()
    }

    fn blocks(&self) -> usize {
        self.values.len().div_ceil(self.world * PART)
    }

    /// The numbers of a part of a block: in the last block they may be fewer, and differ by one.
    fn part(&self, block: usize, part: usize) -> Range<usize> {
        let from = block * self.world * PART;
        let length = (self.values.len() - from).min(self.world * PART);
        from + part * length / self.world..from + (part + 1) * length / self.world
    }

    /// Adds to a part of the own values those of the others, which lie in rooms, in the order of the ranks.
    fn add_all(&mut self, part: Range<usize>, room: impl Fn(usize) -> Range<usize>) {
        let sums = &mut self.values[part];
        let (before, after) = (self.rank, self.rank + 1..self.world);
        if before > 1 {
            let (first, rest) = self.rooms.split_at_mut(room(1).start);
            let first = &mut first[room(0)];
            for rank in 1..before {
                let addend = room(rank);
                add(first, &rest[addend.start - room(1).start..][..addend.len()]);
            }
        }
        if before > 0 {
            // The sum is the same with the two exchanged.
            add(sums, &self.rooms[room(0)]);
        }
        after.for_each(|rank| add(sums, &self.rooms[room(rank)]));
        scale(sums, self.factor);
    }
}

/// The order in which the steps of all blocks are taken, on every rank: (block, step).
fn schedule(blocks: usize, steps: usize) -> Vec<(usize, usize)> {
    let mut order = Vec::with_capacity(blocks * steps);
    for time in 0..blocks + (steps - 1) * LAG {
        for step in (0..steps).rev() {
            if let Some(block) = time.checked_sub(step * LAG).filter(|block| *block < blocks) {
                order.push((block, step));
            }
        }
    }
    order
}
