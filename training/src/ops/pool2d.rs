//! Pools over square windows of planes: what the maximum and the mean have in common.

use super::window::Windows;
use crate::cpu::{Real, by_dtype, dtype, fill, slice, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType, bail};

/// Square windows, as in `torch.nn.MaxPool2d`: a stride of the kernel's size is the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dConfig {
    pub kernel: usize,
    pub stride: usize,
    /// On each side; at most half of the kernel.
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

/// The same for stretches of one dimension.
pub type Pool1dConfig = Pool2dConfig;

/// `pool`, of planes (n, c, h, w), for `x` (n, c, l): each channel is a plane of one line.
pub(super) fn pool1d(
    op: &str,
    x: &Tensor,
    config: &Pool1dConfig,
    pool: impl FnOnce(&Tensor, Windows) -> Result<Tensor>,
) -> Result<Tensor> {
    let &[_, _, length] = x.dims() else {
        bail!("{op}: expected x (n, c, l), got {:?}", x.shape())
    };
    let Pool1dConfig {
        kernel,
        stride,
        padding,
    } = *config;
    if padding > kernel / 2 {
        bail!("{op}: padding {padding} is more than half of kernel {kernel}")
    }
    let windows = Windows {
        channels: 1,
        size: [1, length],
        kernel: [1, kernel],
        stride,
        padding: [0, padding],
        dilation: 1,
    };
    windows.check(op, x.shape())?;
    pool(&x.unsqueeze(2)?, windows)?.squeeze(2)
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
    let windows = Windows {
        channels: 1,
        size: [height, width],
        kernel: [kernel; 2],
        stride,
        padding: [padding; 2],
        dilation: 1,
    };
    windows.check(op, x)?;
    Ok(windows)
}

/// How the elements of a window become one. A window is named by its row and column in the result.
pub(super) trait Pool: Send + Sync + 'static {
    const NAME: &'static str;

    fn element<T: Real>(&self, windows: &Windows, x: &[T], window: [usize; 2]) -> T;

    /// Adds to the gradient of the plane what it gets from `dy`, that of the window's element.
    fn spread<T: Real>(&self, windows: &Windows, x: &[T], window: [usize; 2], dy: T, dx: &mut [T]);
}

/// The pool of every plane of `x` (n, c, h, w).
pub(super) fn pool2d(x: &Tensor, windows: Windows, pool: impl Pool) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Pool2d { windows, pool })
}

struct Pool2d<P> {
    windows: Windows,
    pool: P,
}

impl<P: Pool> Pool2d<P> {
    fn forward<T: Real>(&self, x: &[T], planes: usize) -> Vec<T> {
        let [_, width] = self.windows.output();
        let (len, places) = (self.windows.len(), self.windows.places());
        let mut y = vec![T::zero(); planes * places];
        fill(&mut y, places, len, |plane, y| {
            let x = &x[plane * len..][..len];
            for (at, y) in y.iter_mut().enumerate() {
                let window = [at / width, at % width];
                *y = self.pool.element(&self.windows, x, window);
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
                let window = [at / width, at % width];
                self.pool.spread(&self.windows, x, window, *dy, dx);
            }
        });
        dx
    }
}

impl<P: Pool> CustomOp1 for Pool2d<P> {
    fn name(&self) -> &'static str {
        P::NAME
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
