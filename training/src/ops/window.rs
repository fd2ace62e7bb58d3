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
    /// On each side of the height and of the width.
    pub padding: [usize; 2],
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
        let sizes = self.size.iter().chain(kernel);
        if sizes
            .chain([&self.channels, stride, dilation])
            .any(|size| *size == 0)
        {
            bail!("{op}: channels, size, kernel, stride and dilation must be at least 1: {self:?}")
        }
        let fits =
            |axis: usize| self.size[axis] + 2 * padding[axis] > dilation * (kernel[axis] - 1);
        if !(fits(0) && fits(1)) {
            bail!(
                "{op}: a kernel of {kernel:?} (padding {padding:?}, dilation {dilation}) is larger than x {x:?}"
            )
        }
        Ok(())
    }

    /// Height and width of the result.
    pub fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| {
            let span = self.dilation * (self.kernel[axis] - 1) + 1;
            (self.size[axis] + 2 * self.padding[axis] - span) / self.stride + 1
        })
    }

    /// The part of a window without dilation, at the padded place `from`, that lies inside of the plane.
    pub fn inside_window(&self, from: usize, axis: usize) -> Range<usize> {
        let last = (from + self.kernel[axis]).saturating_sub(self.padding[axis]);
        from.saturating_sub(self.padding[axis])..last.min(self.size[axis])
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
        let places = self.places();
        self.each_part(|row, part| {
            let row = &mut unrolled[row * pitch..][..places];
            if part.size[0] * part.size[1] < places {
                row.fill(T::zero());
            }
            each_element(part.size, (row, part.row), (x, part.planes), |to, x| {
                *to = x
            });
        });
    }

    /// The adjoint of [`Self::unroll`]: adds every element of the windows to where it came from.
    pub fn roll<T: Real>(&self, unrolled: &[T], pitch: usize, x: &mut [T]) {
        let places = self.places();
        self.each_part(|row, part| {
            let row = &unrolled[row * pitch..][..places];
            each_element(part.size, (x, part.planes), (row, part.row), |x, from| {
                *x += from
            });
        });
    }

    /// Calls `f` for every row of the unrolled windows with its part outside of the padding.
    #[inline(always)]
    fn each_part(&self, mut f: impl FnMut(usize, Part)) {
        let ([height, width], [out_height, out_width]) = (self.size, self.output());
        let [kernel_height, kernel_width] = self.kernel;
        for ky in 0..kernel_height {
            let (lines, top) = self.inside(0, ky, out_height);
            for kx in 0..kernel_width {
                let (columns, left) = self.inside(1, kx, out_width);
                for channel in 0..self.channels {
                    let row = Lines {
                        first: lines.start * out_width + columns.start,
                        pitch: out_width,
                        step: 1,
                    };
                    let planes = Lines {
                        first: (channel * height + top) * width + left,
                        pitch: self.stride * width,
                        step: self.stride,
                    };
                    f(
                        (channel * kernel_height + ky) * kernel_width + kx,
                        Part {
                            size: [lines.len(), columns.len()],
                            row,
                            planes,
                        },
                    );
                }
            }
        }
    }

    /// The places of the result along one axis whose element at `k` lies in the plane rather than in the padding, and
    /// where that of the first lies.
    fn inside(&self, axis: usize, k: usize, out: usize) -> (Range<usize>, usize) {
        let (size, padding) = (self.size[axis], self.padding[axis]);
        let at = k * self.dilation;
        let place = |from: usize| from.saturating_sub(at).div_ceil(self.stride).min(out);
        let (first, end) = (place(padding), place(size + padding));
        let from = (first * self.stride + at).saturating_sub(padding);
        (first..end.max(first), from)
    }
}

/// The part of a row of unrolled windows that comes from inside of the plane.
struct Part {
    /// Lines and columns; may be none.
    size: [usize; 2],
    row: Lines,
    planes: Lines,
}

/// Where lines lie in a slice: the first element, the way from line to line and from column to column.
#[derive(Clone, Copy)]
struct Lines {
    first: usize,
    pitch: usize,
    step: usize,
}

/// Calls `f` with each element of the lines of one slice and its partner of another. Lines are short: runs of a length
/// known to the compiler make them a few instructions.
#[inline(always)]
fn each_element<T: Copy>(
    [lines, columns]: [usize; 2],
    (to, to_at): (&mut [T], Lines),
    (from, from_at): (&[T], Lines),
    f: impl Fn(&mut T, T),
) {
    if lines == 0 || columns == 0 {
        return;
    }
    let (mut to, mut from) = (&mut to[to_at.first..], &from[from_at.first..]);
    let pitches = [to_at.pitch, from_at.pitch];
    let mut left = columns;
    if to_at.step == 1 && from_at.step == 1 {
        while left >= 8 {
            each_run::<8, T>(lines, pitches, to, from, &f);
            (to, from, left) = (&mut to[8..], &from[8..], left - 8);
        }
        if left >= 4 {
            each_run::<4, T>(lines, pitches, to, from, &f);
            (to, from, left) = (&mut to[4..], &from[4..], left - 4);
        }
    }
    for column in 0..left {
        let (to, from) = (
            &mut to[column * to_at.step..],
            &from[column * from_at.step..],
        );
        each_run::<1, T>(lines, pitches, to, from, &f);
    }
}

/// The same for `LEN` neighbours in each line.
#[inline(always)]
fn each_run<const LEN: usize, T: Copy>(
    lines: usize,
    [to_pitch, from_pitch]: [usize; 2],
    to: &mut [T],
    from: &[T],
    f: impl Fn(&mut T, T),
) {
    for line in 0..lines {
        let to = &mut to[line * to_pitch..][..LEN];
        let from = &from[line * from_pitch..][..LEN];
        for (to, from) in to.iter_mut().zip(from) {
            f(to, *from);
        }
    }
}
