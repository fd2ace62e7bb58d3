//! Maximum over windows, with an optional rectifier behind it; the gradient goes to the first maximum of each window.

use super::pool2d::{Pool, Pool1dConfig, Pool2dConfig, pool1d, pool2d, windows};
use super::{ours, portable, window::Windows};
use crate::cpu::Real;
use candle_core::{Result, Tensor};

/// The maximum of each window of `x` (n, c, h, w); padding never wins.
///
/// # Errors
/// When `x` has another rank or the windows do not fit.
pub fn max_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    pool(x, config, false)
}

/// `relu(max_pool2d(x))` in one pass.
///
/// # Errors
/// Those of [`max_pool2d`].
pub fn max_pool2d_relu(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    pool(x, config, true)
}

/// The maximum of each window of `x` (n, c, l); padding never wins.
///
/// # Errors
/// When `x` has another rank or the windows do not fit.
pub fn max_pool1d(x: &Tensor, config: &Pool1dConfig) -> Result<Tensor> {
    pool1d("max_pool1d", x, config, |x, windows| {
        over(x, windows, false)
    })
}

fn pool(x: &Tensor, config: &Pool2dConfig, relu: bool) -> Result<Tensor> {
    over(x, windows("max_pool2d", x.shape(), config)?, relu)
}

fn over(x: &Tensor, windows: Windows, relu: bool) -> Result<Tensor> {
    if !ours(&[x]) {
        let y = portable::max_windows(x, &windows)?;
        return if relu { portable::relu(&y) } else { Ok(y) };
    }
    pool2d(x, windows, Max { relu })
}

struct Max {
    relu: bool,
}

impl Pool for Max {
    const NAME: &'static str = "max_pool2d";

    fn element<T: Real>(&self, windows: &Windows, x: &[T], window: [usize; 2]) -> T {
        let (best, _) = winner(windows, x, window);
        if self.relu && best <= T::zero() {
            T::zero()
        } else {
            best
        }
    }

    fn spread<T: Real>(&self, windows: &Windows, x: &[T], window: [usize; 2], dy: T, dx: &mut [T]) {
        let (best, place) = winner(windows, x, window);
        if !(self.relu && best <= T::zero()) {
            dx[place] += dy;
        }
    }
}

/// Value and place of the first maximum of a window; NaN wins, as in PyTorch.
pub(super) fn winner<T: Real>(
    windows: &Windows,
    plane: &[T],
    [row, column]: [usize; 2],
) -> (T, usize) {
    let Windows { size, stride, .. } = windows;
    let columns = windows.inside_window(column * stride, 1);
    let (mut best, mut place) = (T::neg_infinity(), 0);
    let mut first = true;
    for row in windows.inside_window(row * stride, 0) {
        let line = row * size[1];
        for (x, at) in plane[line..][columns.clone()]
            .iter()
            .zip(line + columns.start..)
        {
            if first || *x > best || (x.is_nan() && !best.is_nan()) {
                (best, place, first) = (*x, at, false);
            }
        }
    }
    (best, place)
}
