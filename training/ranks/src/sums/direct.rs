//! A sum in which rank r adds up the r-th part of everyone's numbers, in the order of the ranks, and sends it to all.

use std::ops::Range;

use super::job::{Job, PART, ROOMS, schedule};
use crate::flow::Plan;

/// A block's step 0 takes its parts to those who add them up, step 1 the sums to all.
pub(super) struct Direct<'a> {
    job: Job<'a>,
    order: Vec<(usize, usize)>,
    /// How much of the order was done, by peer.
    sent: Vec<usize>,
    received: Vec<usize>,
    /// How many others' addends of the own part have come, by block.
    came: Vec<usize>,
    /// Numbers that a room holds.
    room: usize,
}

impl<'a> Direct<'a> {
    pub fn new(job: Job<'a>) -> Self {
        let blocks = job.blocks().max(1);
        let room = PART.min(job.values.len().div_ceil(job.world));
        job.rooms.resize(blocks.min(ROOMS) * job.world * room, 0.0);
        Self {
            order: schedule(blocks, 2),
            sent: vec![0; job.world],
            received: vec![0; job.world],
            came: vec![0; blocks],
            room,
            job,
        }
    }

    /// Where a peer's addends for the own part of a block lie until they are added.
    fn room(&self, block: usize, from: usize) -> Range<usize> {
        let start = (block % ROOMS * self.job.world + from) * self.room;
        start..start + self.job.part(block, self.job.rank).len()
    }

    fn is_summed(&self, block: usize) -> bool {
        self.came[block] == self.job.world - 1
    }
}

impl Plan for Direct<'_> {
    fn peers(&self) -> Vec<usize> {
        self.job.others()
    }

    fn outgoing(&self, to: usize) -> Option<&[u8]> {
        let part = match *self.order.get(self.sent[to])? {
            (block, 0) => self.job.part(block, to),
            (block, _) if self.is_summed(block) => self.job.part(block, self.job.rank),
            _ => return None,
        };
        Some(bytemuck::cast_slice(&self.job.values[part]))
    }

    fn sent(&mut self, to: usize) {
        self.sent[to] += 1;
    }

    fn incoming(&mut self, from: usize) -> Option<&mut [u8]> {
        let numbers = match *self.order.get(self.received[from])? {
            (block, 0) if block >= ROOMS && !self.is_summed(block - ROOMS) => return None,
            (block, 0) => {
                let room = self.room(block, from);
                &mut self.job.rooms[room]
            }
            (block, _) => {
                let part = self.job.part(block, from);
                &mut self.job.values[part]
            }
        };
        Some(bytemuck::cast_slice_mut(numbers))
    }

    fn received(&mut self, from: usize) {
        let (block, step) = self.order[self.received[from]];
        self.received[from] += 1;
        if step > 0 {
            return;
        }
        self.came[block] += 1;
        if self.is_summed(block) {
            let part = self.job.part(block, self.job.rank);
            let (start, length, size) = (self.room(block, 0).start, part.len(), self.room);
            self.job.add_all(part, |rank| {
                start + rank * size..start + rank * size + length
            });
        }
    }

    fn is_done(&self) -> bool {
        let mut all = self.job.others().into_iter();
        all.all(|peer| [self.sent[peer], self.received[peer]] == [self.order.len(); 2])
    }
}
