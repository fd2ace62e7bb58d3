//! What one rank adds up, cut into blocks and parts, and the order in which their steps are taken.

use std::ops::Range;

use crate::numbers::{add, scale};

/// Numbers of one part: those of the blocks under way stay in the processor's cache.
pub(super) const PART: usize = 1 << 15;
/// How many blocks one step of a block's way is behind the step before: what is sent meanwhile hides the waiting.
const LAG: usize = 2;
/// Blocks whose parts have room at once; more than the lag, or ranks could wait for one another for ever.
pub(super) const ROOMS: usize = 2 * LAG;

/// What is summed, as one rank sees it.
pub(super) struct Job<'a> {
    pub rank: usize,
    pub world: usize,
    /// For the sums.
    pub factor: f32,
    pub values: &'a mut [f32],
    /// For what is received and not a sum yet.
    pub rooms: &'a mut Vec<f32>,
}

impl Job<'_> {
    pub fn others(&self) -> Vec<usize> {
        let (rank, world) = (self.rank, self.world);
        (1..world).map(|step| (rank + step) % world).collect()
    }

    pub fn blocks(&self) -> usize {
        self.values.len().div_ceil(self.world * PART)
    }

    /// The numbers of a part of a block: in the last block they may be fewer, and differ by one.
    pub fn part(&self, block: usize, part: usize) -> Range<usize> {
        let from = block * self.world * PART;
        let length = (self.values.len() - from).min(self.world * PART);
        from + part * length / self.world..from + (part + 1) * length / self.world
    }

    /// Adds to a part of the own values those of the others, which lie in rooms, in the order of the ranks.
    pub fn add_all(&mut self, part: Range<usize>, room: impl Fn(usize) -> Range<usize>) {
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
pub(super) fn schedule(blocks: usize, steps: usize) -> Vec<(usize, usize)> {
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
