//! The CPU side of the operations: element types, slices of tensors and sums of slices.

mod flat;
mod functions;
mod matrix;
mod threads;
mod vectors;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, WithDType, bail};
pub use carrel_ranks::{add, scale};
pub use flat::{Correlation, LANES, Lanes, Product, pack};
pub use matrix::{Matrix, multiply};
use num_traits::Float;
pub use threads::{each, fill, shares, shares_among, split, threads};
pub use vectors::{map, sums, vectorized};

/// An element that the operations of this crate compute with: `f32` or `f64`.
pub trait Real: WithDType + Float + Lanes + std::iter::Sum {
    fn real(value: f64) -> Self {
        <Self as WithDType>::from_f64(value)
    }

    /// The exponential; in f32 without branches.
    fn power(self) -> Self;

    /// The error function; in f32 without branches.
    fn erf(self) -> Self;

    /// The hyperbolic tangent; in f32 without branches.
    fn tangent(self) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn power(self) -> Self {
        functions::exp(self)
    }

    #[inline(always)]
    fn erf(self) -> Self {
        functions::erf(self)
    }

    #[inline(always)]
    fn tangent(self) -> Self {
        functions::tanh(self)
    }
}

impl Real for f64 {
    fn power(self) -> Self {
        self.exp()
    }

    fn erf(self) -> Self {
        candle_core::cpu::erf::erf_f64(self)
    }

    fn tangent(self) -> Self {
        self.tanh()
    }
}

/// Runs `$body` with `$T` set to the element type of `$dtype`.
macro_rules! by_dtype {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $T = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $body
            }
            other => candle_core::bail!("expected elements of f32 or f64, got {other:?}"),
        }
    };
}
pub(crate) use by_dtype;

/// The element type of a storage.
pub fn dtype(storage: &CpuStorage) -> DType {
    candle_core::backend::BackendStorage::dtype(storage)
}

/// The elements of a contiguous storage, as [`candle_core::CustomOp1`] hands it over.
pub fn slice<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let elements = storage.as_slice::<T>()?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&elements[from..to]),
        None => bail!(
            "expected contiguous elements, got strides {:?}",
            layout.stride()
        ),
    }
}

/// Calls `f` with the elements of a tensor, which are copied only where they are not contiguous.
pub fn with<T: Real, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(slice(storage, layout)?),
        _ => bail!(
            "expected a tensor on the CPU, got one on {:?}",
            tensor.device()
        ),
    }
}

/// Adds up equally long vectors, in order.
pub fn sum<T: Real>(parts: Vec<Vec<T>>, len: usize) -> Vec<T> {
    let mut parts = parts.into_iter();
    let mut total = parts.next().unwrap_or_else(|| vec![T::zero(); len]);
    for part in parts {
        add(&mut total, &part);
    }
    total
}
