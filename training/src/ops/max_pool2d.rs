//! Maximum over windows, with an optional rectifier behind it; the gradient goes to the first maximum of each window.

use super::{conv2d::dtype, ours, portable, window::Windows};
use crate::cpu::{Real, by_dtype, fill, slice, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};

/// Square windows, as in `torch.nn.MaxPool2d`: a stride of the kernel's size is the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dConfig {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Pool2dConfig {
    /// Windows side by side.
    pub fn new(kernel: usize) -> Self {
        Self {
            kernel,
            stride: kernel,
            padding: 0,
        }
    }
}

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

fn pool(x: &Tensor, config: &Pool2dConfig, relu: bool) -> Result<Tensor> {
    let windows = windows("max_pool2d", x.shape(), config)?;
    if !ours(&[x]) {
        let y = portable::max_pool2d(x, config)?;
        return if relu { y.relu() } else { Ok(y) };
    }
    x.contiguous()?.apply_op1(MaxPool2d { windows, relu })
}

/// The windows over one plane of `x`.
pub(super) fn windows(op: &str, x: &Shape, config: &Pool2dConfig) -> Result<Windows> {
    let Pool2dConfig {
        kernel,
        stride,
        padding,
    } = *config;
    let &[_, _, height, width] = x.dims() else {
        bail!("{op}: expected x (n, c, h, w), got {x:?}")
    };
    if padding > kernel / 2 {
        bail!("{op}: padding {padding} is more than half of kernel {kernel}")
    }
    let size = [height, width];
    let windows = Windows {
        channels: 1,
        size,
        kernel: [kernel; 2],
        stride,
        padding,
        dilation: 1,
    };
    windows.check(op, x)?;
    Ok(windows)
}

struct MaxPool2d {
    windows: Windows,
    relu: bool,
}

impl MaxPool2d {
    /// Value and place of the first maximum of the window at (row, column); NaN wins, as in PyTorch.
    fn winner<T: Real>(&self, plane: &[T], row: usize, column: usize) -> (T, usize) {
        let Windows { size, stride, .. } = self.windows;
        let columns = self.windows.inside_window(column * stride, 1);
        let (mut best, mut place) = (T::neg_infinity(), 0);
        let mut first = true;
        for row in self.windows.inside_window(row * stride, 0) {
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

    fn forward<T: Real>(&self, x: &[T], planes: usize) -> Vec<T> {
        let [_, width] = self.windows.output();
        let (len, places) = (self.windows.len(), self.windows.places());
        let mut y = vec![T::zero(); planes * places];
        fill(&mut y, places, len, |plane, y| {
            let x = &x[plane * len..][..len];
            for (at, y) in y.iter_mut().enumerate() {
                let (best, _) = self.winner(x, at / width, at % width);
                *y = if self.relu && best <= T::zero() {
                    T::zero()
                } else {
                    best
                };
            }
        });
        y
    }

    fn backward<T: Real>(&self, x: &[T], dy: &[T], planes: usize) -> Vec<T> {
        let [_, width] = self.windows.output();
        let (len, places) = (self.windows.len(), self.windows.places());
        let mut dx = vec![T::zero(); planes * len];
        fill(&mut dx, len, len, |plane, dx| {
            let x = &x[plane * len..][..len];
            for (at, dy) in dy[plane * places..][..places].iter().enumerate() {
                let (best, place) = self.winner(x, at / width, at % width);
                if !(self.relu && best <= T::zero()) {
                    dx[place] += *dy;
                }
            }
        });
        dx
    }
}

impl CustomOp1 for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
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
            let dx = with::<T, _>(x, |x| with(dy, |dy| Ok(self.backward(x, dy, n * c))))?;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}
