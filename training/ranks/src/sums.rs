//! Sums over all ranks.
//!
//! Numbers are cut into blocks, and blocks into as many parts as there are ranks. First each part is added up, then its
//! sum goes to all: a reduce-scatter and an all-gather, in which each rank sends and receives 2 (n - 1) / n of the
//! data. Blocks follow one another closely: while one is received, others are added and sent. Three ways:
//! - in a ring, where each rank sends to the next one only: for much data over more than two ranks;
//! - directly, each rank with every other: sums are made in the order of the ranks;
//! - whole, where each rank sends all it has to every other and waits only once: for few data, in that order too.

mod direct;
mod job;
mod ring;
mod whole;

use std::mem;

use crate::error::RanksError;
use crate::meeting::SumOrder;
use crate::operation::Operation;
use crate::ranks::Ranks;
use job::Job;

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
