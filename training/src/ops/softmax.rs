//! Softmax and its logarithm over one dimension.

use super::{ours, portable};
use crate::cpu::{Real, by_dtype, dtype, slice, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, shape::Dim};
use num_traits::Float;

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

/// Softmax over the last dimension.
struct Softmax {
    log: bool,
}

impl Softmax {
    fn forward<T: Real>(&self, x: &[T], width: usize) -> Vec<T> {
        let mut y = x.to_vec();
        for y in y.chunks_mut(width.max(1)) {
            match self.log {
                true => log_softmax_row(y),
                false => softmax_row(y),
            }
        }
        y
    }

    fn backward<T: Real>(&self, y: &[T], dy: &[T], width: usize) -> Vec<T> {
        let mut dx = dy.to_vec();
        for (dx, y) in dx.chunks_mut(width.max(1)).zip(y.chunks(width.max(1))) {
            if self.log {
                let total: T = dx.iter().copied().sum();
                dx.iter_mut()
                    .zip(y)
                    .for_each(|(dx, y)| *dx -= y.exp() * total);
            } else {
                let total: T = dx.iter().zip(y).map(|(dx, y)| *dx * *y).sum();
                dx.iter_mut()
                    .zip(y)
                    .for_each(|(dx, y)| *dx = (*dx - total) * *y);
            }
        }
        dx
    }
}

/// Replaces a row by the logarithm of its softmax. The maximum goes first and by itself: next to a large one the
/// logarithm of the sum vanishes (PyTorch's issue 11752).
fn log_softmax_row<T: Real>(row: &mut [T]) {
    let top = greatest(row);
    let total: T = row.iter().map(|x| (*x - top).exp()).sum();
    let rest = total.ln();
    row.iter_mut().for_each(|x| *x = (*x - top) - rest);
}

fn softmax_row<T: Real>(row: &mut [T]) {
    let top = greatest(row);
    row.iter_mut().for_each(|x| *x = (*x - top).exp());
    let total: T = row.iter().copied().sum();
    row.iter_mut().for_each(|x| *x /= total);
}

/// Of those that are numbers; one that is none comes back in by the sum.
fn greatest<T: Real>(row: &[T]) -> T {
    row.iter().copied().fold(T::neg_infinity(), Float::max)
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
