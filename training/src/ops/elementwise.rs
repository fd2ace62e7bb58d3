//! Activations element by element. A value that is not a number stays one, as in PyTorch: a rectifier that makes it 0
//! lets a network train "well" on broken data.

use super::{ours, portable};
use crate::cpu::{Real, by_dtype, dtype, fill, slice, with};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};
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

    fn value<T: Real>(x: T) -> T {
        if x <= T::zero() { T::zero() } else { x }
    }

    fn gradient<T: Real>(_x: T, y: T, dy: T) -> T {
        if y <= T::zero() { T::zero() } else { dy }
    }
}

struct Gelu;

impl Function for Gelu {
    const NAME: &'static str = "gelu";
    const WORK: usize = 16;

    fn value<T: Real>(x: T) -> T {
        let half = T::real(0.5);
        x * half * (T::one() + (x * T::real(FRAC_1_SQRT_2)).erf())
    }

    fn gradient<T: Real>(x: T, _y: T, dy: T) -> T {
        let half = T::real(0.5);
        let below = half * (T::one() + (x * T::real(FRAC_1_SQRT_2)).erf());
        let density = T::real(FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.0) * (-half * x * x).exp();
        dy * (below + x * density)
    }
}

struct Sigmoid;

impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const WORK: usize = 8;

    /// By the exponential that does not overflow.
    fn value<T: Real>(x: T) -> T {
        if x < T::zero() {
            let part = x.exp();
            part / (T::one() + part)
        } else {
            T::one() / (T::one() + (-x).exp())
        }
    }

    fn gradient<T: Real>(_x: T, y: T, dy: T) -> T {
        dy * (T::one() - y) * y
    }
}

struct Elementwise<F>(PhantomData<fn() -> F>);

/// Elements that one thread takes at once.
const RUN: usize = 1 << 10;

impl<F: Function> Elementwise<F> {
    fn forward<T: Real>(x: &[T]) -> Vec<T> {
        let mut y = x.to_vec();
        each_run(&mut y, F::WORK, |_, y| {
            y.iter_mut().for_each(|y| *y = F::value(*y));
        });
        y
    }

    fn backward<T: Real>(x: &[T], y: &[T], dy: &[T]) -> Vec<T> {
        let mut dx = dy.to_vec();
        each_run(&mut dx, F::WORK, |from, dx| {
            for ((dx, x), y) in dx.iter_mut().zip(&x[from..]).zip(&y[from..]) {
                *dx = F::gradient(*x, *y, *dx);
            }
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
