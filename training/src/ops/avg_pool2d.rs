//! Mean over windows; padding counts as zeros, as in PyTorch.

use super::{Pool2dConfig, conv2d::dtype, max_pool2d::windows, ours, portable, window::Windows};
use crate::cpu::{Real, by_dtype, fill, slice, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use std::ops::Range;

/// The mean of each window of `x` (n, c, h, w).
///
/// # Errors
/// When `x` has another rank or the windows do not fit.
pub fn avg_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    let windows = windows("avg_pool2d", x.shape(), config)?;
    if !ours(&[x]) {
        return portable::avg_pool2d(x, config);
    }
    x.contiguous()?.apply_op1(AvgPool2d { windows })
}

struct AvgPool2d {
    windows: Windows,
}

impl AvgPool2d {
    /// The elements of a plane that lie in the window at (row, column), line by line.
    fn lines(&self, row: usize, column: usize) -> impl Iterator<Item = Range<usize>> {
        let Windows {
            size: [_, width],
            stride,
            ..
        } = self.windows;
        let rows = self.windows.inside_window(row * stride, 0);
        let columns = self.windows.inside_window(column * stride, 1);
        rows.map(move |row| row * width + columns.start..row * width + columns.end)
    }

    fn share<T: Real>(&self) -> T {
        T::real(1.0 / (self.windows.kernel[0] * self.windows.kernel[1]) as f64)
    }

    fn forward<T: Real>(&self, x: &[T], planes: usize) -> Vec<T> {
        let [_, width] = self.windows.output();
        let (len, places) = (self.windows.len(), self.windows.places());
        let mut y = vec![T::zero(); planes * places];
        fill(&mut y, places, len, |plane, y| {
            let x = &x[plane * len..][..len];
            for (at, y) in y.iter_mut().enumerate() {
                let lines = self.lines(at / width, at % width);
                let total: T = lines.map(|line| x[line].iter().copied().sum::<T>()).sum();
                *y = total * self.share();
            }
        });
        y
    }

    fn backward<T: Real>(&self, dy: &[T], planes: usize) -> Vec<T> {
        let [_, width] = self.windows.output();
        let (len, places) = (self.windows.len(), self.windows.places());
        let mut dx = vec![T::zero(); planes * len];
        fill(&mut dx, len, len, |plane, dx| {
            for (at, dy) in dy[plane * places..][..places].iter().enumerate() {
                let dy = *dy * self.share();
                for line in self.lines(at / width, at % width) {
                    dx[line].iter_mut().for_each(|dx| *dx += dy);
                }
            }
        });
        dx
    }
}

impl CustomOp1 for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, _, _) = layout.shape().dims4()?;
        let [height, width] = self.windows.output();
        let y = by_dtype!(dtype(x), T => {
            WithDType::to_cpu_storage_owned(self.forward(slice::<T>(x, layout)?, n * c))
        });
        Ok((y, Shape::from((n, c, height, width))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (n, c, _, _) = x.dims4()?;
        let dx = by_dtype!(x.dtype(), T => {
            let dx = with::<T, _>(dy, |dy| Ok(self.backward(dy, n * c)))?;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}
