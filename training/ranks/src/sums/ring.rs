//! A sum in which each rank receives from the one before and sends to the one after: a part goes round once to be added
//! up, and once more as a sum.

use std::ops::Range;

use super::job::{Job, PART, ROOMS, schedule};
use crate::flow::Plan;
use crate::numbers::{add, scale};

/// In step s of a block, rank r sends part r - s; in the first n - 1 steps the receiver adds its own numbers to it.
pub(super) struct Ring<'a> {
    job: Job<'a>,
    order: Vec<(usize, usize)>,
    /// How much of the order was done.
    sent: usize,
    received: usize,
    /// How many steps were, by block.
    sent_of: Vec<usize>,
    received_of: Vec<usize>,
}

impl<'a> Ring<'a> {
    pub fn new(job: Job<'a>) -> Self {
        let blocks = job.blocks();
        job.rooms.resize(ROOMS * job.world * PART, 0.0);
        Self {
            order: schedule(blocks, 2 * (job.world - 1)),
            sent: 0,
            received: 0,
            sent_of: vec![0; blocks],
            received_of: vec![0; blocks],
            job,
        }
    }

    fn next(&self) -> usize {
        (self.job.rank + 1) % self.job.world
    }

    fn previous(&self) -> usize {
        (self.job.rank + self.job.world - 1) % self.job.world
    }

    /// The part that a rank sends in a step.
    fn part(&self, block: usize, step: usize, sender: usize) -> Range<usize> {
        let world = self.job.world;
        self.job
            .part(block, (sender + 2 * world - step % world) % world)
    }

    /// Where what came in a step lies until it is sent on, if it is no sum yet and takes `length` numbers.
    fn room(&self, block: usize, step: usize, length: usize) -> Range<usize> {
        let start = (block % ROOMS * self.job.world + step) * PART;
        start..start + length
    }

    /// In which step a part is whole.
    fn last(&self) -> usize {
        self.job.world - 2
    }
}

impl Plan for Ring<'_> {
    fn peers(&self) -> Vec<usize> {
        vec![self.next(), self.previous()]
    }

    fn outgoing(&self, to: usize) -> Option<&[u8]> {
        let &(block, step) = self.order.get(self.sent).filter(|_| to == self.next())?;
        if self.received_of[block] < step {
            return None;
        }
        let part = self.part(block, step, self.job.rank);
        let numbers = if (1..=self.last()).contains(&step) {
            &self.job.rooms[self.room(block, step - 1, part.len())]
        } else {
            &self.job.values[part]
        };
        Some(bytemuck::cast_slice(numbers))
    }

    fn sent(&mut self, _to: usize) {
        self.sent_of[self.order[self.sent].0] += 1;
        self.sent += 1;
    }

    fn incoming(&mut self, from: usize) -> Option<&mut [u8]> {
        let previous = self.previous();
        let &(block, step) = self.order.get(self.received).filter(|_| from == previous)?;
        let part = self.part(block, step, previous);
        if step > self.last() {
            return Some(bytemuck::cast_slice_mut(&mut self.job.values[part]));
        }
        // Until what was there has gone on.
        if block >= ROOMS && step < self.last() && self.sent_of[block - ROOMS] < step + 2 {
            return None;
        }
        let room = self.room(block, step, part.len());
        Some(bytemuck::cast_slice_mut(&mut self.job.rooms[room]))
    }

    fn received(&mut self, _from: usize) {
        let (block, step) = self.order[self.received];
        self.received += 1;
        self.received_of[block] += 1;
        let part = self.part(block, step, self.previous());
        let room = self.room(block, step, part.len());
        if step < self.last() {
            add(&mut self.job.rooms[room], &self.job.values[part]);
        } else if step == self.last() {
            let sums = &mut self.job.values[part];
            add(sums, &self.job.rooms[room]);
            scale(sums, self.job.factor);
        }
    }

    fn is_done(&self) -> bool {
        [self.sent, self.received] == [self.order.len(); 2]
    }
}
