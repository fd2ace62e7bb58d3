//! The windows that a convolution or a pool slides over planes: sizes, unrolling and its adjoint.

use crate::cpu::Real;
use candle_core::{Result, Shape, bail};
use std::ops::Range;

#[derive(Clone, Debug)]
pub(super) struct Windows {
    pub channels: usize,
    pub size: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: usize,
    pub dilation: usize,
}

impl Windows {
    /// Refuses windows that do not fit; `x` is what the message names.
    pub fn check(&self, op: &str, x: &Shape) -> Result<()> {
        let Self {
            kernel,
            stride,
            padding,
            dilation,
            ..
        } = self;
        if self.channels == 0 || kernel.contains(&0) || *stride == 0 || *dilation == 0 {
            bail!("{op}: channels, kernel, stride and dilation must be at least 1: {self:?}")
        }
        let fits = |axis: usize| self.size[axis] + 2 * padding > dilation * (kernel[axis] - 1);
        if !(fits(0) && fits(1)) {
            bail!(
                "{op}: a kernel of {kernel:?} (padding {padding}, dilation {dilation}) is larger than x {x:?}"
            )
        }
        Ok(())
    }

    /// Height and width of the result.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let span = self.dilation * (self.kernel[axis] - 1) + 1;
            (self.size[axis] + 2 * self.padding - span) / self.stride + 1
        })
    }

    /// The part of a window without dilation, at the padded place `from`, that lies inside of the plane.
    pub fn inside_window(&self, from: usize, axis: usize) -> Range<usize> {
        let last = (from + self.kernel[axis]).saturating_sub(self.padding);
        from.saturating_sub(self.padding)..last.min(self.size[axis])
    }

    /// Elements of all channels.
    pub fn len(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// Windows per plane.
    pub fn places(&self) -> usize {
        let [height, width] = self.output();
        height * width
    }

    /// Elements per window, over all channels.
    pub fn rows(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Writes element (channel, ky, kx) of every window to one row each: row r begins at `r * pitch` of `unrolled` and
    /// has `places` elements.
    pub fn unroll<T: Real>(&self, x: &[T], pitch: usize, unrolled: &mut [T]) {
        let width = self.output()[1];
        self.each_line(pitch, |to, from, columns| {
            let line = &mut unrolled[to..to + width];
            let Some(from) = from else {
                return line.fill(T::zero());
            };
            line[..columns.start].fill(T::zero());
            line[columns.end..].fill(T::zero());
            let line = &mut line[columns];
            if self.stride == 1 {
                copy_line(line, &x[from..from + line.len()]);
            } else {
                for (to, x) in line.iter_mut().zip(x[from..].iter().step_by(self.stride)) {
                    *to = *x;
                }
            }
        });
    }

    /// The adjoint of [`Self::unroll`]: adds every element of the windows to where it came from.
    pub fn roll<T: Real>(&self, unrolled: &[T], pitch: usize, x: &mut [T]) {
        let width = self.output()[1];
        self.each_line(pitch, |at, from, columns| {
            let Some(from) = from else { return };
            let line = &unrolled[at..at + width][columns];
            if self.stride == 1 {
                add_line(&mut x[from..from + line.len()], line);
            } else {
                for (x, from) in x[from..].iter_mut().step_by(self.stride).zip(line) {
                    *x += *from;
                }
            }
        });
    }

    /// Calls `f` for every line of the unrolled windows, with its place there, the place in `x` of its first element
    /// (None where the padding covers the line) and the columns that lie inside of `x`.
    fn each_line(&self, pitch: usize, mut f: impl FnMut(usize, Option<usize>, Range<usize>)) {
        let [height, width] = self.size;
        let [out_height, out_width] = self.output();
        let mut row = 0;
        for channel in 0..self.channels {
            for ky in 0..self.kernel[0] {
                for kx in 0..self.kernel[1] {
                    let columns = self.inside(kx, width, out_width);
                    for y in 0..out_height {
                        let to = row + y * out_width;
                        let line = (y * self.stride + ky * self.dilation).checked_sub(self.padding);
                        match line {
                            Some(line) if line < height && !columns.is_empty() => {
                                let column = columns.start * self.stride + kx * self.dilation;
                                let from =
                                    (channel * height + line) * width + column - self.padding;
                                f(to, Some(from), columns.clone());
                            }
                            _ => f(to, None, 0..0),
                        }
                    }
                    row += pitch;
                }
            }
        }
    }

    /// The columns of the result whose element at `k` lies in 0..size rather than in the padding.
    fn inside(&self, k: usize, size: usize, out: usize) -> Range<usize> {
        let at = k * self.dilation;
        let first = self
            .padding
            .saturating_sub(at)
            .div_ceil(self.stride)
            .min(out);
        let last = (size + self.padding)
            .saturating_sub(at)
            .div_ceil(self.stride)
            .min(out);
        first..last.max(first)
    }
}

/// Copies in blocks of eight: lines are short, and a call of memcpy for each costs more than the copy.
fn copy_line<T: Copy>(to: &mut [T], from: &[T]) {
    let (to, to_rest) = to.as_chunks_mut::<8>();
    let (from, from_rest) = from.as_chunks::<8>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to = *from;
    }
}

/// `to += from`, in blocks for the same reason.
fn add_line<T: Real>(to: &mut [T], from: &[T]) {
    let (to, to_rest) = to.as_chunks_mut::<8>();
    let (from, from_rest) = from.as_chunks::<8>();
    for (to, from) in to.iter_mut().zip(from) {
        crate::cpu::add(to, from);
    }
    crate::cpu::add(to_rest, from_rest);
}
