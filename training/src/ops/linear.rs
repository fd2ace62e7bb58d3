//! `y = x w^T + b`, with an optional rectifier and dropout mask behind it in the same pass.

use super::{conv2d::gradients, ours, portable};
use crate::cpu::{
    Matrix, Real, add, by_dtype, dtype, each, fill, multiply, shares, shares_among, slice, split,
    threads, with,
};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use std::borrow::Cow;
use std::ops::Range;

/// What follows the product in the same pass.
#[derive(Clone, Debug, Default)]
pub struct Then {
    pub relu: bool,
    /// One factor per element of the result: 0 drops it, 1 / (1 - p) keeps it.
    pub mask: Option<Vec<f32>>,
}

/// `x` (.., i) times the transpose of `weight` (o, i), plus `bias` (o): (.., o).
///
/// # Errors
/// When shapes, element types or the mask do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, then: Then) -> Result<Tensor> {
    let (mut shape, &[out, inner]) = (x.dims().to_vec(), weight.dims()) else {
        bail!(
            "linear: expected a weight of (o, i), got {:?}",
            weight.shape()
        )
    };
    let bias_fits = bias.is_none_or(|bias| bias.dims() == [out]);
    if shape.last() != Some(&inner) || inner == 0 || out == 0 || !bias_fits {
        let bias = bias.map(Tensor::shape);
        bail!(
            "linear: weight {:?} and bias {bias:?} do not fit x {:?}",
            weight.shape(),
            x.shape()
        )
    }
    let n = x.elem_count() / inner;
    if let Some(mask) = &then.mask
        && mask.len() != n * out
    {
        bail!(
            "linear: a mask of {} for a result of {n} x {out}",
            mask.len()
        )
    }
    let rows = x.contiguous()?.reshape((n, inner))?;
    let y = if ours(&[x, weight]) {
        let bias = match bias {
            Some(bias) => bias.contiguous()?,
            None => Tensor::zeros(out, x.dtype(), x.device())?,
        };
        rows.apply_op3(&weight.contiguous()?, &bias, Linear { then })?
    } else {
        portable::linear(&rows, weight, bias, &then)?
    };
    if let Some(last) = shape.last_mut() {
        *last = out;
    }
    y.reshape(shape)
}

struct Linear {
    then: Then,
}

impl Linear {
    /// Threads take rows of x, or of the weights where these are more: each thread reads all of the other.
    fn forward<T: Real>(&self, [n, inner, out]: [usize; 3], x: &[T], w: &[T], b: &[T]) -> Vec<T> {
        let mut y = vec![T::zero(); n * out];
        let of_weights = shares(out, n * inner);
        if of_weights.len() > 1 && out > n {
            let parts = each(of_weights.clone(), |share| {
                let mut part = vec![T::zero(); n * share.len()];
                let w = &w[share.start * inner..share.end * inner];
                let (x, w) = (Matrix::rows(x, inner), Matrix::transposed(w, inner));
                multiply([n, inner, share.len()], x, w, false, &mut part);
                part
            });
            fill(&mut y, out, out, |row, y| {
                for (share, part) in of_weights.iter().zip(&parts) {
                    let part = &part[row * share.len()..][..share.len()];
                    y[share.clone()].copy_from_slice(part);
                }
                self.finish(row * out, b, y);
            });
            return y;
        }
        let shares = shares(n, inner * out);
        let parts = split(&mut y, out, &shares);
        each(shares.iter().cloned().zip(parts).collect(), |(share, y)| {
            let x = &x[share.start * inner..share.end * inner];
            let (x, w) = (Matrix::rows(x, inner), Matrix::transposed(w, inner));
            multiply([share.len(), inner, out], x, w, false, y);
            for (row, y) in share.zip(y.chunks_mut(out)) {
                self.finish(row * out, b, y);
            }
        });
        y
    }

    /// Makes a product the row of the result that begins at `at`.
    fn finish<T: Real>(&self, at: usize, bias: &[T], y: &mut [T]) {
        let positive = |y: T| if y <= T::zero() { T::zero() } else { y };
        let sums = y.iter_mut().zip(bias);
        match self.then.relu {
            true => sums.for_each(|(y, b)| *y = positive(*y + *b)),
            false => sums.for_each(|(y, b)| *y += *b),
        }
        let mask = self.then.mask.iter().flat_map(|mask| &mask[at..]);
        for (y, mask) in y.iter_mut().zip(mask) {
            *y *= T::real(f64::from(*mask));
        }
    }

    /// The gradient of the product, by that of `y`.
    fn before<'a, T: Real>(&self, y: &[T], dy: &'a [T]) -> Cow<'a, [T]> {
        let mut dy = Cow::Borrowed(dy);
        if self.then.relu {
            // Zero as well where the mask is, whose gradient is zero anyway.
            let steps = dy.to_mut().iter_mut().zip(y);
            steps.for_each(|(dy, y)| *dy = if *y == T::zero() { T::zero() } else { *dy });
        }
        if let Some(mask) = &self.then.mask {
            for (dy, mask) in dy.to_mut().iter_mut().zip(mask) {
                *dy *= T::real(f64::from(*mask));
            }
        }
        dy
    }

    /// Half of the threads take the gradient of x, where it is wanted, the others that of the weights.
    fn backward<T: Real>(
        &self,
        [n, inner, out]: [usize; 3],
        (x, w, y, dy): (&[T], &[T], &[T], &[T]),
        want_dx: bool,
    ) -> [Vec<T>; 3] {
        let dy = self.before(y, dy);
        let of_each = if want_dx {
            threads().div_ceil(2)
        } else {
            threads()
        };
        let [mut dx, mut dweight, mut dbias] =
            [if want_dx { n * inner } else { 0 }, out * inner, out].map(|len| vec![T::zero(); len]);
        let of_weights = shares_among(of_each, out, n * inner);
        let parts = split(&mut dweight, inner, &of_weights);
        let parts = parts.into_iter().zip(split(&mut dbias, 1, &of_weights));
        let of_weights = of_weights.iter().cloned().zip(parts);
        let of_weights =
            of_weights.map(|(share, (dweight, dbias))| Part::Weight(share, dweight, dbias));
        let of_x = if want_dx {
            shares_among(of_each, n, inner * out)
        } else {
            Vec::new()
        };
        let parts = split(&mut dx, inner, &of_x);
        let of_x = of_x
            .into_iter()
            .zip(parts)
            .map(|(share, dx)| Part::X(share, dx));
        let parts: Vec<Part<T>> = of_weights.chain(of_x).collect();
        let run = |part: Part<T>| part.run([n, inner, out], (x, w, &dy));
        match n * inner * out > SMALL {
            true => drop(each(parts, run)),
            false => parts.into_iter().for_each(run),
        }
        [dx, dweight, dbias]
    }
}

/// Fewer elementary steps are no work for a second thread.
const SMALL: usize = 1 << 17;

/// Rows of a gradient that one thread computes.
enum Part<'a, T> {
    /// With those of the bias.
    Weight(Range<usize>, &'a mut [T], &'a mut [T]),
    X(Range<usize>, &'a mut [T]),
}

impl<T: Real> Part<'_, T> {
    fn run(self, [n, inner, out]: [usize; 3], (x, w, dy): (&[T], &[T], &[T])) {
        match self {
            Self::Weight(share, dweight, dbias) => {
                let rows = dy.chunks(out);
                rows.for_each(|dy| add(dbias, &dy[share.clone()]));
                // No rows at all have no such column either.
                let dy = Matrix::transposed(&dy[share.start.min(dy.len())..], out);
                let x = Matrix::rows(x, inner);
                multiply([share.len(), n, inner], dy, x, false, dweight);
            }
            Self::X(share, dx) => {
                let dy = &dy[share.start * out..share.end * out];
                let (dy, w) = (Matrix::rows(dy, out), Matrix::rows(w, inner));
                multiply([share.len(), out, inner], dy, w, false, dx);
            }
        }
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, inner) = x_layout.shape().dims2()?;
        let (out, _) = weight_layout.shape().dims2()?;
        let y = by_dtype!(dtype(x), T => {
            let (x, weight) = (slice::<T>(x, x_layout)?, slice::<T>(weight, weight_layout)?);
            let bias = slice::<T>(bias, bias_layout)?;
            WithDType::to_cpu_storage_owned(self.forward([n, inner, out], x, weight, bias))
        });
        Ok((y, Shape::from((n, out))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (sizes, want_dx) = ([x.dim(0)?, x.dim(1)?, weight.dim(0)?], x.track_op());
        by_dtype!(x.dtype(), T => {
            let [dx, dweight, dbias] = with::<T, _>(x, |x| with(weight, |weight| {
                with(y, |y| with(dy, |dy| Ok(self.backward(sizes, (x, weight, y, dy), want_dx))))
            }))?;
            gradients(want_dx.then_some(dx), dweight, dbias, [x, weight, bias])
        })
    }
}
