//! Mean over windows; padding counts as zeros, as in PyTorch.

use super::pool2d::{Pool, Pool1dConfig, Pool2dConfig, pool1d, pool2d, windows};
use super::{ours, portable, window::Windows};
use crate::cpu::Real;
use candle_core::{Result, Tensor, bail};
use std::ops::Range;

/// The mean of each window of `x` (n, c, h, w).
///
/// # Errors
/// When `x` has another rank or the windows do not fit.
pub fn avg_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    over(x, windows("avg_pool2d", x.shape(), config)?)
}

/// The mean of each window of `x` (n, c, l).
///
/// # Errors
/// When `x` has another rank or the windows do not fit.
pub fn avg_pool1d(x: &Tensor, config: &Pool1dConfig) -> Result<Tensor> {
    pool1d("avg_pool1d", x, config, over)
}

/// The means of `x` (n, c, h, w) over as many windows as `out` says, which cover each plane: (n, c, `out`).
///
/// # Errors
/// When `x` has another rank, or `out` is 0 or more than it has.
pub fn adaptive_avg_pool2d(x: &Tensor, out: [usize; 2]) -> Result<Tensor> {
    let &[_, _, height, width] = x.dims() else {
        bail!(
            "adaptive_avg_pool2d: expected x (n, c, h, w), got {:?}",
            x.shape()
        )
    };
    if out.contains(&0) || height < out[0] || width < out[1] {
        bail!(
            "adaptive_avg_pool2d: no {out:?} windows of x {:?}",
            x.shape()
        )
    }
    if out != [1, 1] {
        return means(&means(x, 2, out[0])?, 3, out[1]);
    }
    let whole = Windows {
        channels: 1,
        size: [height, width],
        kernel: [height, width],
        stride: 1,
        padding: [0; 2],
        dilation: 1,
    };
    over(x, whole)
}

/// Means over stretches of one dimension, each from the last place at or below its share to the first at or above.
fn means(x: &Tensor, dim: usize, out: usize) -> Result<Tensor> {
    let size = x.dim(dim)?;
    let stretch = |at: usize| {
        let (from, to) = (at * size / out, ((at + 1) * size).div_ceil(out));
        x.narrow(dim, from, to - from)?.mean_keepdim(dim)
    };
    Tensor::cat(&(0..out).map(stretch).collect::<Result<Vec<_>>>()?, dim)
}

fn over(x: &Tensor, windows: Windows) -> Result<Tensor> {
    if !ours(&[x]) {
        return portable::mean_windows(x, &windows);
    }
    pool2d(x, windows, Mean)
}

struct Mean;

/// The elements of a plane that lie in a window, line by line.
fn lines(
    windows: &Windows,
    [row, column]: [usize; 2],
) -> impl Iterator<Item = Range<usize>> + use<> {
    let [_, width] = windows.size;
    let rows = windows.inside_window(row * windows.stride, 0);
    let columns = windows.inside_window(column * windows.stride, 1);
    rows.map(move |row| row * width + columns.start..row * width + columns.end)
}

fn share<T: Real>(windows: &Windows) -> T {
    T::real(1.0 / (windows.kernel[0] * windows.kernel[1]) as f64)
}

impl Pool for Mean {
    const NAME: &'static str = "avg_pool2d";

    fn element<T: Real>(&self, windows: &Windows, x: &[T], window: [usize; 2]) -> T {
        let lines = lines(windows, window);
        let total: T = lines.map(|line| x[line].iter().copied().sum::<T>()).sum();
        total * share(windows)
    }

    fn spread<T: Real>(
        &self,
        windows: &Windows,
        _x: &[T],
        window: [usize; 2],
        dy: T,
        dx: &mut [T],
    ) {
        let dy = dy * share(windows);
        for line in lines(windows, window) {
            dx[line].iter_mut().for_each(|dx| *dx += dy);
        }
    }
}
