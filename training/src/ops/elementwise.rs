//! Activations element by element. A value that is not a number stays one, as in PyTorch: a rectifier that makes it 0
//! lets a network train "well" on broken data.

use super::{ours, portable};
use crate::cpu::{Real, by_dtype, dtype, fill, slice, vectorized, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
use pulp::{Simd, WithSimd};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
use std::marker::PhantomData;

/// `max(x, 0)`; the gradient at 0 is 0, as in PyTorch.
///
/// # Errors
/// When the device is lost or full.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    of::<Relu>(x, portable::relu)
}

/// The exact form, by the error function.
///
/// # Errors
/// When the elements are no floating-point numbers.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    of::<Gelu>(x, portable::gelu)
}

/// `1 / (1 + exp(-x))`, of full precision also where it is close to 0.
///
/// # Errors
/// When the elements are no floating-point numbers.
pub fn sigmoid(x: &Tensor) -> Result<Tensor> {
    of::<Sigmoid>(x, candle_nn::ops::sigmoid)
}

fn of<F: Function>(x: &Tensor, elsewhere: fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    match ours(&[x]) {
        true => x
            .contiguous()?
            .apply_op1(Elementwise(PhantomData::<fn() -> F>)),
        false => elsewhere(x),
    }
}

/// A function of one number.
trait Function: 'static {
    const NAME: &'static str;
    /// Elementary steps for each element: what decides over threads.
    const WORK: usize;

    fn value<T: Real>(x: T) -> T;

    /// The gradient of `x` by that of `y`, its value.
    fn gradient<T: Real>(x: T, y: T, dy: T) -> T;
}

struct Relu;

impl Function for Relu {
    const NAME: &'static str = "relu";
    const WORK: usize = 1;

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        if x <= T::zero() { T::zero() } else { x }
    }

    #[inline(always)]
    fn gradient<T: Real>(_x: T, y: T, dy: T) -> T {
        if y <= T::zero() { T::zero() } else { dy }
    }
}

struct Gelu;

impl Function for Gelu {
    const NAME: &'static str = "gelu";
    const WORK: usize = 4;

    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        let half = T::real(0.5);
        x * half * (T::one() + (x * T::real(FRAC_1_SQRT_2)).erf())
    }

    #[inline(always)]
    fn gradient<T: Real>(x: T, _y: T, dy: T) -> T {
        let half = T::real(0.5);
        let below = half * (T::one() + (x * T::real(FRAC_1_SQRT_2)).erf());
        let density = T::real(FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.0) * (-half * x * x).power();
        dy * (below + x * density)
    }
}

struct Sigmoid;

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const WORK: usize = 2;

    /// By the exponential that does not overflow.
    #[inline(always)]
    fn value<T: Real>(x: T) -> T {
        let part = (-x.abs()).power();
        let above = T::one() / (T::one() + part);
        if x < T::zero() { part * above } else { above }
    }

    #[inline(always)]
    fn gradient<T: Real>(_x: T, y: T, dy: T) -> T {
        dy * (T::one() - y) * y
    }
}

struct Elementwise<F>(PhantomData<fn() -> F>);

/// Fills the first slice with the values of the second.
struct Value<'a, F, T>(&'a mut [T], &'a [T], PhantomData<fn() -> F>);

impl<F: Function, T: Real> WithSimd for Value<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (y, x) in self.0.iter_mut().zip(self.1) {
            *y = F::value(*x);
        }
    }
}

/// Fills the first slice with the gradients by `x`, `y` and `dy`.
struct Gradient<'a, F, T>(&'a mut [T], [&'a [T]; 3], PhantomData<fn() -> F>);

impl<F: Function, T: Real> WithSimd for Gradient<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let [x, y, dy] = self.1;
        for (((dx, x), y), dy) in self.0.iter_mut().zip(x).zip(y).zip(dy) {
            *dx = F::gradient(*x, *y, *dy);
        }
    }
}

/// Elements that one thread takes at once.
const RUN: usize = 1 << 10;

impl<F: Function> Elementwise<F> {
    fn forward<T: Real>(x: &[T]) -> Vec<T> {
        let mut y = vec![T::zero(); x.len()];
        each_run(&mut y, F::WORK, |from, y| {
            let x = &x[from..from + y.len()];
            vectorized(Value::<F, T>(y, x, PhantomData));
        });
        y
    }

    fn backward<T: Real>(x: &[T], y: &[T], dy: &[T]) -> Vec<T> {
        let mut dx = vec![T::zero(); dy.len()];
        each_run(&mut dx, F::WORK, |from, dx| {
            let slices = [x, y, dy].map(|slice| &slice[from..from + dx.len()]);
            vectorized(Gradient::<F, T>(dx, slices, PhantomData));
        });
        dx
    }
}

/// Calls `f` with runs of the elements, and where each begins.
fn each_run<T: Real>(elements: &mut [T], work: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    let whole = elements.len() / RUN * RUN;
    let (runs, rest) = elements.split_at_mut(whole);
    fill(runs, RUN, RUN * work, |run, part| f(run * RUN, part));
    f(whole, rest);
}

impl<F: Function> CustomOp1 for Elementwise<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let y = by_dtype!(dtype(x), T => {
            WithDType::to_cpu_storage_owned(Self::forward(slice::<T>(x, layout)?))
        });
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = by_dtype!(x.dtype(), T => {
            let dx = with::<T, _>(x, |x| with(y, |y| with(dy, |dy| Ok(Self::backward(x, y, dy)))))?;
            Tensor::from_vec(dx, x.shape(), x.device())?
        });
        Ok(Some(dx))
    }
}
