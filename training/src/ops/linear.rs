//! `y = x w^T + b`, with an optional rectifier and dropout mask behind it in the same pass.

use super::{conv2d::gradients, ours, portable};
use crate::cpu::{
    Matrix, Real, add, by_dtype, dtype, each, join, multiply, shares, slice, split, with,
};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};

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
    fn forward<T: Real>(&self, [n, inner, out]: [usize; 3], x: &[T], w: &[T], b: &[T]) -> Vec<T> {
        let mut y = b.repeat(n);
        let shares = shares(n, inner * out);
        let parts = split(&mut y, out, &shares);
        each(shares.iter().cloned().zip(parts).collect(), |(share, y)| {
            let x = &x[share.start * inner..share.end * inner];
            let (x, w) = (Matrix::rows(x, inner), Matrix::transposed(w, inner));
            multiply([share.len(), inner, out], x, w, true, y);
        });
        if self.then.relu {
            for y in y.iter_mut().filter(|y| **y <= T::zero()) {
                *y = T::zero();
            }
        }
        self.mask(&mut y);
        y
    }

    fn mask<T: Real>(&self, y: &mut [T]) {
        for (y, mask) in y.iter_mut().zip(self.then.mask.iter().flatten()) {
            *y *= T::real(f64::from(*mask));
        }
    }

    fn backward<T: Real>(
        &self,
        [n, inner, out]: [usize; 3],
        (x, w, y, dy): (&[T], &[T], &[T], &[T]),
        want_dx: bool,
    ) -> [Vec<T>; 3] {
        let mut dy = dy.to_vec();
        if self.then.relu {
            // Zero as well where the mask is, whose gradient is zero anyway.
            for (dy, _) in dy.iter_mut().zip(y).filter(|(_, y)| **y == T::zero()) {
                *dy = T::zero();
            }
        }
        self.mask(&mut dy);
        let mut dbias = vec![T::zero(); out];
        dy.chunks(out).for_each(|dy| add(&mut dbias, dy));
        let mut dx = vec![T::zero(); if want_dx { n * inner } else { 0 }];
        let mut dweight = vec![T::zero(); out * inner];
        let mut weight_step = || {
            let (dy, x) = (Matrix::transposed(&dy, out), Matrix::rows(x, inner));
            multiply([out, n, inner], dy, x, false, &mut dweight)
        };
        let mut x_step = || {
            if want_dx {
                let (dy, w) = (Matrix::rows(&dy, out), Matrix::rows(w, inner));
                multiply([n, out, inner], dy, w, false, &mut dx)
            }
        };
        if shares(n, inner * out).len() > 1 {
            join(weight_step, x_step);
        } else {
            weight_step();
            x_step();
        }
        [dx, dweight, dbias]
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
