//! Element-wise updates of a tensor by two others, in place on the CPU.

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Var, bail};
use candle_core::{DType, Tensor};
use pulp::{Simd, WithSimd};

use crate::cpu::{Real, each, shares, slice, split, vectorized};

/// How an element becomes another, by those of two more tensors.
#[derive(Clone, Copy, Debug)]
pub(super) enum Update {
    /// `x = a x + b y + c z`
    Linear { a: f64, b: f64, c: f64 },
    /// `x = a x + b (y + c z)^2`
    Square { a: f64, b: f64, c: f64 },
    /// `x = a x - b y / (sqrt(z) / c + eps)`
    Quotient { a: f64, b: f64, c: f64, eps: f64 },
}

/// Elements that are updated twice while they are in the cache.
const PART: usize = 1 << 17;

/// Updates `x` by `g` and `y` as `first` says, then `y` by `g` and `x` as `second` does, part by part where these are
/// large: so each element is read and written once.
pub(super) fn update_both(
    [x, y]: [&Var; 2],
    g: &Tensor,
    [first, second]: [Update; 2],
) -> Result<()> {
    let len = x.elem_count();
    let parted = len > PART
        && in_place(x, &[y, g])
        && [x, y].iter().all(|var| var.is_contiguous())
        && [y.dims(), g.dims()] == [x.dims(); 2];
    if !parted {
        update(x, g, y, first)?;
        return update(y, g, x, second);
    }
    let g = g.detach().contiguous()?;
    let flat = |tensor: &Tensor| tensor.detach().reshape(len);
    let (x, y, g) = (flat(x)?, flat(y)?, flat(&g)?);
    for from in (0..len).step_by(PART) {
        let part = |tensor: &Tensor| tensor.narrow(0, from, PART.min(len - from));
        let (x, y, g) = (part(&x)?, part(&y)?, part(&g)?);
        x.inplace_op3(&g, &y, &first)?;
        y.inplace_op3(&g, &x, &second)?;
    }
    Ok(())
}

fn in_place(x: &Tensor, others: &[&Tensor]) -> bool {
    x.device().is_cpu()
        && matches!(x.dtype(), DType::F32 | DType::F64)
        && others.iter().all(|other| other.dtype() == x.dtype())
}

/// Updates `x` by `y` and `z`, three different tensors of one shape.
pub(super) fn update(x: &Var, y: &Tensor, z: &Tensor, by: Update) -> Result<()> {
    if x.dims() != y.dims() {
        bail!(
            "a gradient of {:?} for a parameter of {:?}",
            y.shape(),
            x.shape()
        )
    }
    let (y, z) = (y.detach().contiguous()?, z.detach().contiguous()?);
    if in_place(x, &[&y, &z]) {
        return x.inplace_op3(&y, &z, &by);
    }
    let x_value = x.as_detached_tensor();
    let new = match by {
        Update::Linear { a, b, c } => (((x_value * a)? + (y * b)?)? + (z * c)?)?,
        Update::Square { a, b, c } => ((x_value * a)? + ((y + (z * c)?)?.sqr()? * b)?)?,
        Update::Quotient { a, b, c, eps } => {
            ((x_value * a)? - ((y * b)? / ((z.sqrt()? / c)? + eps)?)?)?
        }
    };
    x.set(&new)
}

impl Update {
    fn run<T: Real>(self, x: &mut [T], y: &[T], z: &[T]) {
        let shares = shares(x.len(), 1);
        let parts = split(x, 1, &shares);
        each(shares.into_iter().zip(parts).collect(), |(share, x)| {
            let (y, z) = (&y[share.clone()], &z[share]);
            vectorized(Step(self, x, y, z));
        });
    }

    #[inline(always)]
    fn part<T: Real>(self, x: &mut [T], y: &[T], z: &[T]) {
        let each = x.iter_mut().zip(y).zip(z);
        match self {
            Self::Linear { a, b, c } => {
                let [a, b, c] = [a, b, c].map(T::real);
                for ((x, y), z) in each {
                    *x = a * *x + b * *y + c * *z;
                }
            }
            Self::Square { a, b, c } => {
                let [a, b, c] = [a, b, c].map(T::real);
                for ((x, y), z) in each {
                    let y = *y + c * *z;
                    *x = a * *x + b * y * y;
                }
            }
            Self::Quotient { a, b, c, eps } => {
                let [a, b, c, eps] = [a, b, 1.0 / c, eps].map(T::real);
                for ((x, y), z) in each {
                    *x = a * *x - b * *y / (z.sqrt() * c + eps);
                }
            }
        }
    }
}

/// A part of an update.
struct Step<'a, T>(Update, &'a mut [T], &'a [T], &'a [T]);

impl<T: Real> WithSimd for Step<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.0.part(self.1, self.2, self.3);
    }
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "optimizer step"
    }

    fn cpu_fwd(
        &self,
        x: &mut CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
        z: &CpuStorage,
        z_layout: &Layout,
    ) -> Result<()> {
        let Some((from, to)) = x_layout.contiguous_offsets() else {
            bail!("a parameter whose elements are not contiguous cannot be changed in place")
        };
        match x {
            CpuStorage::F32(x) => {
                self.run(&mut x[from..to], slice(y, y_layout)?, slice(z, z_layout)?);
            }
            CpuStorage::F64(x) => {
                self.run(&mut x[from..to], slice(y, y_layout)?, slice(z, z_layout)?);
            }
            _ => bail!("expected a parameter of f32 or f64"),
        }
        Ok(())
    }
}
