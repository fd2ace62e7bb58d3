//! The Mersenne Twister (Matsumoto and Nishimura, 1998) as PyTorch and Python use it.

use rand_mt::Mt;

/// What PyTorch's generator on the CPU draws after `torch.manual_seed` (ATen's `mt19937`).
#[derive(Debug)]
pub struct Torch(Mt);

impl Torch {
    /// PyTorch takes the lower 32 bits of the seed.
    pub fn new(seed: u64) -> Self {
        Self(Mt::new(seed as u32))
    }

    /// `count` numbers as of `Tensor.uniform_(-bound, bound)`: 24 bits each, scaled in f32.
    pub fn uniform(&mut self, bound: f64, count: usize) -> Vec<f32> {
        let (from, to) = (-bound as f32, bound as f32);
        let one = || (self.0.next_u32() & 0xff_ffff) as f32 / (1 << 24) as f32;
        std::iter::repeat_with(one)
            .take(count)
            .map(|x| x * (to - from) + from)
            .collect()
    }
}

/// Puts items into the order that `random.Random(seed).shuffle(items)` of Python 3 gives.
pub fn shuffle_as_python<T>(seed: u64, items: &mut [T]) {
    let mut random = Mt::new_with_key(key(seed));
    for last in (1..items.len()).rev() {
        items.swap(last, below(&mut random, last + 1));
    }
}

/// The seed in words of 32 bits, the lowest first, without leading zeros.
fn key(seed: u64) -> impl Iterator<Item = u32> + Clone {
    let high = (seed >> 32) as u32;
    [seed as u32, high]
        .into_iter()
        .take(1 + usize::from(high > 0))
}

/// Python's `_randbelow`: as many bits as `end` has, until they are below it.
fn below(random: &mut Mt, end: usize) -> usize {
    let bits = end.ilog2() + 1;
    loop {
        let mut drawn = u64::from(random.next_u32());
        if bits <= 32 {
            drawn >>= 32 - bits;
        } else {
            drawn |= u64::from(random.next_u32() >> (64 - bits)) << 32;
        }
        if drawn < end as u64 {
            return drawn as usize;
        }
    }
}
