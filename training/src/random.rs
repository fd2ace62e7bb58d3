//! Random numbers whose state can be saved: xoshiro256++ (Blackman and Vigna, 2019), seeded through SplitMix64. And those
//! that PyTorch and Python would draw, for weights and for the seed's shares of data.
//!
//! By hand, though rand_xoshiro draws the same numbers of the same seeds: its generators do not tell their state, which
//! checkpoints hold as four words that programs in other languages read.

use std::cell::RefCell;
use std::sync::{LazyLock, Mutex};

use candle_core::{Device, Result, Shape, Tensor};
use carrel_ranks::lock;
use serde::{Deserialize, Serialize};

use mersenne::Torch;

pub mod mersenne;

/// A generator; equal seeds give equal numbers on every machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut at = seed;
        let state = std::array::from_fn(|_| {
            at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (at ^ (at >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        });
        Self { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let bits = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        bits
    }

    /// Uniform in 0..1.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..`end`, which must not be 0 (Lemire, 2019).
    pub fn below(&mut self, end: usize) -> usize {
        let end = end as u64;
        loop {
            let wide = u128::from(self.bits()) * u128::from(end);
            let low = wide as u64;
            // Below this remainder, which is slow and rarely needed, draws would give some numbers once more than others.
            if low >= end || low >= end.wrapping_neg() % end {
                return (wide >> 64) as usize;
            }
        }
    }

    /// Puts items into random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A tensor of f32, uniform in -`bound`..`bound`, on the CPU.
    ///
    /// # Errors
    /// When candle refuses the shape.
    pub fn uniform_tensor(&mut self, bound: f64, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        let values = (0..shape.elem_count()).map(|_| ((self.uniform() * 2.0 - 1.0) * bound) as f32);
        Tensor::from_vec(values.collect(), shape, &Device::Cpu)
    }
}

/// What new layers draw from.
#[derive(Debug)]
struct Layers {
    weights: Torch,
    /// Seeds of layers that draw in training. Of their own, for PyTorch's layers draw nothing else when they are made.
    others: Random,
}

impl Layers {
    fn new(seed: u64) -> Self {
        Self {
            weights: Torch::new(seed),
            others: Random::new(seed),
        }
    }
}

static GLOBAL: LazyLock<Mutex<Layers>> = LazyLock::new(|| Mutex::new(Layers::new(0)));

thread_local! {
    static LOCAL: RefCell<Option<Layers>> = const { RefCell::new(None) };
}

/// Seeds what new layers draw their weights from, as `torch.manual_seed`, and with its numbers: equal layers, made in
/// equal order, begin with the weights that PyTorch gives them on the CPU, to the rounding of the last bit. A layer
/// `without_bias` has drawn one, which PyTorch's with `bias=False` has not: those after it begin with others.
pub fn manual_seed(seed: u64) {
    *lock(&GLOBAL) = Layers::new(seed);
}

/// Runs `build`, whose layers draw from a generator of their own: what other threads do makes no difference.
///
/// ```
/// # use carrel_training::prelude::*;
/// # use carrel_training::random::with_seed;
/// let a = with_seed(7, || Linear::new(3, 2))?;
/// let b = with_seed(7, || Linear::new(3, 2))?;
/// assert_eq!(a.weight.to_vec2::<f32>()?, b.weight.to_vec2::<f32>()?);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn with_seed<R>(seed: u64, build: impl FnOnce() -> R) -> R {
    let before = LOCAL.replace(Some(Layers::new(seed)));
    let built = build();
    LOCAL.set(before);
    built
}

/// Weights of a layer that is made, uniform in -`bound`..`bound`.
pub(crate) fn weights(bound: f64, shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    let count = shape.elem_count();
    let values = draw(|layers| layers.weights.uniform(bound, count));
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Weights of a layer that is made, from the standard normal distribution.
pub(crate) fn normal(shape: impl Into<Shape>) -> Result<Tensor> {
    let shape = shape.into();
    let count = shape.elem_count();
    let values = draw(|layers| layers.weights.normal(count));
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// The generator of a layer that draws in training.
pub(crate) fn of_layer() -> Random {
    Random::new(draw(|layers| layers.others.bits()))
}

/// Draws from the generators of [`with_seed`], or from those of [`manual_seed`].
fn draw<R>(f: impl FnOnce(&mut Layers) -> R) -> R {
    LOCAL.with_borrow_mut(|local| match local {
        Some(layers) => f(layers),
        None => f(&mut lock(&GLOBAL)),
    })
}
