//! In which order a rank takes items: every epoch anew, and the same for the same seed.

use crate::random::Random;
use crate::random::mersenne::shuffle_as_python;

/// How the ranks share the items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partition {
    /// A new permutation of all items in every epoch, dealt out like cards, as `torch.utils.data.DistributedSampler`
    /// does: all ranks together take in each step what one process would with their batches together.
    #[default]
    Dealt,
    /// One permutation for good, of which each rank keeps a stretch and shuffles that in every epoch, as in PyTorch's
    /// tutorial on distributed training: the very permutation that its Python makes of the seed.
    Stretches,
}

/// Whether items are shuffled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    InTurn,
    Shuffled { seed: u64 },
}

/// The items of one of `world` ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    pub order: Order,
    pub partition: Partition,
    pub rank: usize,
    pub world: usize,
}

impl Sampler {
    /// All items, for one process alone.
    pub fn alone(order: Order) -> Self {
        Self {
            order,
            partition: Partition::default(),
            rank: 0,
            world: 1,
        }
    }

    /// The items of one epoch, of `len` in all. Every rank gets equally many; a rest is left out.
    pub fn indices(&self, len: usize, epoch: usize) -> Vec<usize> {
        let each = len / self.world.max(1);
        let mut all: Vec<usize> = (0..len).collect();
        match (self.order, self.partition) {
            (Order::InTurn, Partition::Dealt) => self.deal(&all, each),
            (Order::InTurn, Partition::Stretches) => all[self.rank * each..][..each].to_vec(),
            (Order::Shuffled { seed }, Partition::Dealt) => {
                of_epoch(seed, epoch).shuffle(&mut all);
                self.deal(&all, each)
            }
            (Order::Shuffled { seed }, Partition::Stretches) => {
                shuffle_as_python(seed, &mut all);
                let mut own = all[self.rank * each..][..each].to_vec();
                of_epoch(seed.wrapping_add(1 + self.rank as u64), epoch).shuffle(&mut own);
                own
            }
        }
    }

    fn deal(&self, all: &[usize], each: usize) -> Vec<usize> {
        let own = all.iter().skip(self.rank).step_by(self.world.max(1));
        own.take(each).copied().collect()
    }
}

/// A generator for each seed and epoch; their sum would give one epoch of a seed to the next seed.
fn of_epoch(seed: u64, epoch: usize) -> Random {
    Random::new(seed.rotate_left(32) ^ epoch as u64)
}
