//! The CPU side of the operations: element types, slices of tensors, matrix products, the split over threads.

use candle_core::utils::barrier_pool;
use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, WithDType, bail};
use num_traits::Float;
use std::ops::Range;
use std::sync::Mutex;

/// An element that the operations of this crate compute with: `f32` or `f64`.
pub trait Real: WithDType + Float + std::iter::Sum {
    fn real(value: f64) -> Self {
        <Self as WithDType>::from_f64(value)
    }
}

impl Real for f32 {}
impl Real for f64 {}

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

/// A matrix in a slice, by its strides: so a transposed one needs no copy.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    pub elements: &'a [T],
    pub row: usize,
    pub column: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows of `width` elements, one after the other.
    pub fn rows(elements: &'a [T], width: usize) -> Self {
        Self {
            elements,
            row: width,
            column: 1,
        }
    }

    /// The transpose of rows of `width` elements.
    pub fn transposed(elements: &'a [T], width: usize) -> Self {
        Self {
            elements,
            row: 1,
            column: width,
        }
    }

    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row + (columns - 1) * self.column < self.elements.len()
    }
}

/// `c = a b`, or `c += a b`, with `a` of m x k, `b` of k x n and `c` the rows of an m x n matrix; on this thread.
#[allow(unsafe_code)]
pub fn multiply<T: Real>(
    [m, k, n]: [usize; 3],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    add: bool,
    c: &mut [T],
) {
    assert!(
        a.holds(m, k) && b.holds(k, n) && c.len() == m * n,
        "a product beyond its matrices"
    );
    let scale = if add { T::one() } else { T::zero() };
    // SAFETY: the assertion bounds every index that strides and sizes can form, `c` is borrowed mutably and
    // so overlaps neither `a` nor `b`, and gemm reads `c` only where `add` says so.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.elements.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.elements.as_ptr(),
            b.column as isize,
            b.row as isize,
            scale,
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Below this many elementary steps a second thread costs more than it saves.
const WORTH_A_THREAD: usize = 1 << 16;

/// Cuts `0..items` into one range per thread, or into one where the work is small; none where there are no items.
pub fn shares(items: usize, work_per_item: usize) -> Vec<Range<usize>> {
    if items == 0 {
        return Vec::new();
    }
    let worth = (items * work_per_item / WORTH_A_THREAD).max(1);
    let threads = barrier_pool().n_workers() + 1;
    let size = items.div_ceil(threads.min(items).min(worth));
    (0..items)
        .step_by(size)
        .map(|from| from..(from + size).min(items))
        .collect()
}

/// Cuts `elements`, `width` of them per item, along `shares`.
pub fn split<'a, T>(
    mut elements: &'a mut [T],
    width: usize,
    shares: &[Range<usize>],
) -> Vec<&'a mut [T]> {
    let mut parts = Vec::with_capacity(shares.len());
    for share in shares {
        let (part, rest) = elements.split_at_mut(share.len() * width);
        parts.push(part);
        elements = rest;
    }
    parts
}

/// Runs `f` on every part at once; the results keep the order of the parts, so that sums over them are repeatable.
///
/// On candle's own pool, whose threads wait awake for a moment: the next operation mostly follows at once, and waking a
/// processor takes as long as a small operation.
pub fn each<I: Send, R: Send>(parts: Vec<I>, f: impl Fn(I) -> R + Sync + Send) -> Vec<R> {
    if parts.len() <= 1 {
        return parts.into_iter().map(f).collect();
    }
    let parts: Vec<_> = parts
        .into_iter()
        .map(|part| Mutex::new((Some(part), None)))
        .collect();
    barrier_pool().execute_chunked(parts.len(), |range| {
        for part in &parts[range] {
            let mut part = crate::lock(part);
            part.1 = part.0.take().map(&f);
        }
    });
    let results = parts.iter().filter_map(|part| crate::lock(part).1.take());
    results.collect()
}

/// Runs both at once.
pub fn join(a: impl FnOnce() + Send, b: impl FnOnce() + Send) {
    let both: Vec<Box<dyn FnOnce() + Send>> = vec![Box::new(a), Box::new(b)];
    each(both, |act| act());
}

/// Fills `elements`, `width` of them per item, on several threads where the work is worth it: `f` gets each item's
/// number and part.
pub fn fill<T: Send>(
    elements: &mut [T],
    width: usize,
    work_per_item: usize,
    f: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    let shares = shares(elements.len() / width, work_per_item);
    let parts = split(elements, width, &shares);
    each(shares.into_iter().zip(parts).collect(), |(share, part)| {
        for (item, part) in share.zip(part.chunks_mut(width)) {
            f(item, part);
        }
    });
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

/// `values *= factor`.
pub fn scale(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        values.iter_mut().for_each(|value| *value *= factor);
    }
}

/// `to += from`.
pub fn add<T: Real>(to: &mut [T], from: &[T]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += *from;
    }
}
