//! The Mersenne Twister (Matsumoto and Nishimura, 1998) as PyTorch and Python use it.

use rand_mt::Mt;

/// What PyTorch's generator on the CPU draws after `torch.manual_seed` (ATen's `mt19937`).
#[derive(Debug)]
pub struct Torch {
    bits: Mt,
    /// Of the normal numbers that are drawn in pairs, where one is left.
    spare: Option<f64>,
}

impl Torch {
    /// PyTorch takes the lower 32 bits of the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            bits: Mt::new(seed as u32),
            spare: None,
        }
    }

    /// `count` numbers as of `Tensor.uniform_(-bound, bound)`: 24 bits each, scaled in f32.
    pub fn uniform(&mut self, bound: f64, count: usize) -> Vec<f32> {
        let (from, to) = (-bound as f32, bound as f32);
        let one = || self.short() * (to - from) + from;
        std::iter::repeat_with(one).take(count).collect()
    }

    /// `count` numbers as of `Tensor.normal_()`, by Box and Muller: sixteen at once, or one by one where they are fewer.
    pub fn normal(&mut self, count: usize) -> Vec<f32> {
        if count < SIXTEEN {
            return (0..count).map(|_| self.one_normal() as f32).collect();
        }
        let mut numbers: Vec<f32> = (0..count).map(|_| self.short()).collect();
        numbers.chunks_exact_mut(SIXTEEN).for_each(box_muller);
        if !count.is_multiple_of(SIXTEEN) {
            // Also those before the rest are drawn anew.
            let last = &mut numbers[count - SIXTEEN..];
            last.iter_mut().for_each(|number| *number = self.short());
            box_muller(last);
        }
        numbers
    }

    fn one_normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let [turn, size] = [(); 2].map(|()| self.long());
        let radius = (-2.0 * (-size).ln_1p()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * turn).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }

    /// Uniform in 0..1, of 24 bits.
    fn short(&mut self) -> f32 {
        (self.bits.next_u32() & 0xff_ffff) as f32 / (1 << 24) as f32
    }

    /// Uniform in 0..1, of 53 bits.
    fn long(&mut self) -> f64 {
        let [high, low] = [(); 2].map(|()| u64::from(self.bits.next_u32()));
        ((high << 32 | low) & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }
}

/// Numbers that PyTorch makes normal at once.
const SIXTEEN: usize = 16;

/// Makes uniform numbers normal, each with the one eight places behind it.
fn box_muller(numbers: &mut [f32]) {
    let (sizes, turns) = numbers.split_at_mut(SIXTEEN / 2);
    for (size, turn) in sizes.iter_mut().zip(turns) {
        let radius = (-2.0 * (1.0 - *size).ln()).sqrt();
        let (sine, cosine) = (std::f32::consts::TAU * *turn).sin_cos();
        (*size, *turn) = (radius * cosine, radius * sine);
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
