//! Softmax and its logarithm over one dimension.

use super::{ours, portable};
use crate::cpu::{LANES, Real, by_dtype, dtype, fill, map, slice, sums, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, shape::Dim};

/// `exp(x) / sum(exp(x))` over `dim`, for `x` of any shape.
///
/// # Errors
/// When `x` has no such dimension.
pub fn softmax<D: Dim>(x: &Tensor, dim: D) -> Result<Tensor> {
    over(x, dim, false)
}

/// The logarithm of [`softmax`], exact where the softmax underflows.
///
/// # Errors
/// When `x` has no such dimension.
pub fn log_softmax<D: Dim>(x: &Tensor, dim: D) -> Result<Tensor> {
    over(x, dim, true)
}

fn over<D: Dim>(x: &Tensor, dim: D, log: bool) -> Result<Tensor> {
    let dim = dim.to_index(x.shape(), "softmax")?;
    if !ours(&[x]) {
        return match log {
            true => portable::log_softmax(x, dim),
            false => portable::softmax(x, dim),
        };
    }
    let last = x.rank() - 1;
    let y = x
        .transpose(dim, last)?
        .contiguous()?
        .apply_op1(Softmax { log })?;
    y.transpose(dim, last)
}

/// Elementary steps for each element: what decides over threads.
const WORK: usize = 4;

/// Softmax over the last dimension.
struct Softmax {
    log: bool,
}

impl Softmax {
    fn forward<T: Real>(&self, x: &[T], width: usize) -> Vec<T> {
        let mut y = vec![T::zero(); x.len()];
        fill(&mut y, width.max(1), width * WORK, |row, y| {
            let x = &x[row * width..][..width];
            match self.log {
                true => log_softmax_row(y, x),
                false => softmax_row(y, x),
            }
        });
        y
    }

    fn backward<T: Real>(&self, y: &[T], dy: &[T], width: usize) -> Vec<T> {
        let mut dx = vec![T::zero(); dy.len()];
        fill(&mut dx, width.max(1), width * WORK, |row, dx| {
            let [y, dy] = [y, dy].map(|slice| &slice[row * width..][..width]);
            if self.log {
                let total = T::real(sums([dy], |[dy]| [dy.wide()])[0]);
                map(dx, [y, dy], |[y, dy]| dy - y.power() * total);
            } else {
                let total = T::real(sums([y, dy], |[y, dy]| [(y * dy).wide()])[0]);
                map(dx, [y, dy], |[y, dy]| (dy - total) * y);
            }
        });
        dx
    }
}

/// The logarithm of a row's softmax. The maximum goes first and by itself: next to a large one the logarithm of the sum
/// vanishes (PyTorch's issue 11752).
fn log_softmax_row<T: Real>(y: &mut [T], x: &[T]) {
    let top = greatest(x);
    let total = sums([x], |[x]| [(x - top).power().wide()])[0];
    let rest = T::real(total).ln();
    map(y, [x], |[x]| (x - top) - rest);
}

fn softmax_row<T: Real>(y: &mut [T], x: &[T]) {
    let top = greatest(x);
    map(y, [x], |[x]| (x - top).power());
    let total = T::real(sums([&*y], |[y]| [y.wide()])[0]);
    y.iter_mut().for_each(|y| *y /= total);
}

/// Of those that are numbers; one that is none comes back in by the sum.
fn greatest<T: Real>(row: &[T]) -> T {
    let mut tops = [T::neg_infinity(); LANES];
    let (blocks, rest) = row.as_chunks::<LANES>();
    for part in blocks.iter().map(|block| block.as_slice()).chain([rest]) {
        for (top, x) in tops.iter_mut().zip(part) {
            *top = if *x > *top { *x } else { *top };
        }
    }
    tops.into_iter()
        .fold(T::neg_infinity(), num_traits::Float::max)
}

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.dims().last().copied().unwrap_or(1);
        let y = by_dtype!(dtype(x), T => {
            WithDType::to_cpu_storage_owned(self.forward(slice::<T>(x, layout)?, width))
        });
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dims().last().copied().unwrap_or(1);
        let dx = by_dtype!(x.dtype(), T => {
            let dx = with::<T, _>(y, |y| with(dy, |dy| Ok(self.backward(y, dy, width))))?;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}
