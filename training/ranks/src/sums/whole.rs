//! A sum of few numbers: every rank sends all of them to every other, and adds them all up itself.

use super::job::Job;
use crate::flow::Plan;

pub(super) struct Whole<'a> {
    job: Job<'a>,
    /// By rank.
    sent: Vec<bool>,
    received: Vec<bool>,
}

impl<'a> Whole<'a> {
    pub fn new(job: Job<'a>) -> Self {
        job.rooms.resize(job.world * job.values.len(), 0.0);
        let own: Vec<bool> = (0..job.world).map(|rank| rank == job.rank).collect();
        Self {
            sent: own.clone(),
            received: own,
            job,
        }
    }

    /// When nothing of the own numbers is to be sent any more, they may become sums.
    fn finish(&mut self) {
        if self.is_done() {
            let count = self.job.values.len();
            self.job
                .add_all(0..count, |rank| rank * count..(rank + 1) * count);
        }
    }
}

impl Plan for Whole<'_> {
    fn peers(&self) -> Vec<usize> {
        self.job.others()
    }

    fn outgoing(&self, to: usize) -> Option<&[u8]> {
        (!self.sent[to]).then(|| bytemuck::cast_slice(self.job.values))
    }

    fn sent(&mut self, to: usize) {
        self.sent[to] = true;
        self.finish();
    }

    fn incoming(&mut self, from: usize) -> Option<&mut [u8]> {
        let count = self.job.values.len();
        let room = &mut self.job.rooms[from * count..][..count];
        (!self.received[from]).then(|| bytemuck::cast_slice_mut(room))
    }

    fn received(&mut self, from: usize) {
        self.received[from] = true;
        self.finish();
    }

    fn is_done(&self) -> bool {
        self.sent.iter().chain(&self.received).all(|done| *done)
    }
}
