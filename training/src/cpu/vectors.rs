//! Loops over slices, compiled for the vectors of each kind of processor. Only what is inlined becomes vectors: what
//! the closures do has to be short.

use super::{LANES, Real};
use pulp::{Arch, Simd, WithSimd};
use std::array::from_fn;

/// Runs `op` in the form for the processor at hand.
pub fn vectorized<R>(op: impl WithSimd<Output = R>) -> R {
    Arch::new().dispatch(op)
}

/// Sums of what `f` makes of the elements of `slices`, equally long, at each place; in f64, as those of large planes
/// lose much otherwise.
pub fn sums<T: Real, const N: usize, const K: usize>(
    slices: [&[T]; N],
    f: impl Fn([T; N]) -> [f64; K],
) -> [f64; K] {
    vectorized(Sums { slices, f })
}

/// Fills `to` with what `f` makes of the elements of `slices`, equally long, at each place.
pub fn map<T: Real, const N: usize>(to: &mut [T], slices: [&[T]; N], f: impl Fn([T; N]) -> T) {
    vectorized(Map { to, slices, f });
}

struct Sums<'a, T, F, const N: usize> {
    slices: [&'a [T]; N],
    f: F,
}

impl<T: Real, F, const N: usize, const K: usize> WithSimd for Sums<'_, T, F, N>
where
    F: Fn([T; N]) -> [f64; K],
{
    type Output = [f64; K];

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> [f64; K] {
        let len = self.slices[0].len();
        let cut = self.slices.map(|slice| slice[..len].as_chunks::<LANES>());
        let mut lanes = [[0.0; LANES]; K];
        for block in 0..len / LANES {
            let block = cut.map(|(blocks, _)| &blocks[block]);
            for lane in 0..LANES {
                let values = (self.f)(from_fn(|slice| block[slice][lane]));
                for k in 0..K {
                    lanes[k][lane] += values[k];
                }
            }
        }
        let mut sums = lanes.map(|lanes| lanes.iter().sum());
        for at in 0..len % LANES {
            let values = (self.f)(from_fn(|slice| cut[slice].1[at]));
            for k in 0..K {
                sums[k] += values[k];
            }
        }
        sums
    }
}

struct Map<'a, T, F, const N: usize> {
    to: &'a mut [T],
    slices: [&'a [T]; N],
    f: F,
}

impl<T: Real, F: Fn([T; N]) -> T, const N: usize> WithSimd for Map<'_, T, F, N> {
    type Output = ();

    #[inline(always)]
    #[allow(
        clippy::needless_range_loop,
        reason = "the one form without checks of bounds"
    )]
    fn with_simd<S: Simd>(self, _simd: S) {
        let len = self.to.len();
        let slices = self.slices.map(|slice| &slice[..len]);
        for at in 0..len {
            self.to[at] = (self.f)(from_fn(|slice| slices[slice][at]));
        }
    }
}
