//! Mean over windows; padding counts as zeros, as in PyTorch.

use super::pool2d::{Pool, Pool1dConfig, Pool2dConfig, pool1d, pool2d, windows};
use super::{ours, portable, window::Windows};
use crate::cpu::Real;
use candle_core::{Result, Tensor};
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
