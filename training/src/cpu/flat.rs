//! Products over shifted runs of one slice: what a convolution comes down to whose pictures lie flat, by the vectors of
//! the processor.

use super::Real;
use pulp::{Arch, Simd, WithSimd};
use std::array::from_fn;

/// The most elements that a vector of any processor holds.
pub const LANES: usize = 16;
/// Rows of one tile of packed weights.
const TILE: usize = 8;
/// Offsets that [`Correlation`] takes at once.
const COLUMNS: usize = 6;
/// Elements of its rows that stay in the cache.
const BLOCK: usize = 1 << 16;

/// Vectors of an element type.
pub trait Lanes: Copy {
    type Vector<S: Simd>: Copy;

    fn splat<S: Simd>(self, simd: S) -> Self::Vector<S>;

    /// `a b + c`
    fn fused<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;

    fn total<S: Simd>(simd: S, vector: Self::Vector<S>) -> Self;

    fn wide(self) -> f64;
}

macro_rules! lanes {
    ($T:ty, $vector:ident, $splat:ident, $fused:ident, $total:ident) => {
        impl Lanes for $T {
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn splat<S: Simd>(self, simd: S) -> S::$vector {
                simd.$splat(self)
            }

            #[inline(always)]
            fn fused<S: Simd>(simd: S, a: S::$vector, b: S::$vector, c: S::$vector) -> S::$vector {
                simd.$fused(a, b, c)
            }

            #[inline(always)]
            fn total<S: Simd>(simd: S, vector: S::$vector) -> Self {
                simd.$total(vector)
            }

            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }
        }
    };
}
lanes!(f32, f32s, splat_f32s, mul_add_e_f32s, reduce_sum_f32s);
lanes!(f64, f64s, splat_f64s, mul_add_e_f64s, reduce_sum_f64s);

fn lanes<T: Real, S: Simd>() -> usize {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    assert!(LANES.is_multiple_of(lanes), "vectors of {lanes} elements");
    lanes
}

/// The weights of a [`Product`] in the order in which it reads them; `weight(row, k)` gives them.
pub fn pack<T: Real>(rows: usize, inner: usize, weight: impl Fn(usize, usize) -> T) -> Vec<T> {
    let mut packed = vec![T::zero(); rows.next_multiple_of(TILE) * inner];
    for (tile, packed) in packed.chunks_mut((TILE * inner).max(1)).enumerate() {
        let first = tile * TILE;
        let count = TILE.min(rows - first);
        for (k, packed) in packed.as_chunks_mut::<TILE>().0.iter_mut().enumerate() {
            for (row, packed) in packed[..count].iter_mut().enumerate() {
                *packed = weight(first + row, k);
            }
        }
    }
    packed
}

/// `to[row * pitch + p] = sum over k of weights(row, k) * from[offsets[k] + p]`, for each row and `p` below `len`.
pub struct Product<'a, T> {
    /// By [`pack`].
    pub weights: &'a [T],
    pub rows: usize,
    pub offsets: &'a [usize],
    pub from: &'a [T],
    /// Of which `len` is rounded up to a multiple of [`LANES`].
    pub to: &'a mut [T],
    pub pitch: usize,
    pub len: usize,
}

impl<T: Real> Product<'_, T> {
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<T: Real> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    #[allow(unsafe_code)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            weights,
            rows,
            offsets,
            from,
            to,
            pitch,
            len,
        } = self;
        let lanes = lanes::<T, S>();
        let len = len.next_multiple_of(lanes);
        let reach = offsets.iter().max().map_or(0, |most| most + len);
        assert!(
            weights.len() == rows.next_multiple_of(TILE) * offsets.len()
                && reach <= from.len()
                && len <= pitch
                && rows * pitch <= to.len(),
            "a product beyond its slices"
        );
        for row in (0..rows).step_by(TILE) {
            let mut weights = &weights[row * offsets.len()..][..TILE * offsets.len()];
            let mut to = &mut to[row * pitch..];
            let mut left = TILE.min(rows - row);
            while left > 0 {
                // SAFETY: `weights` are a tile of the offsets, of which `left` rows remain. The assertion says that
                // every offset has `len` elements behind it, and `to` a whole line of as many for each row.
                let done = unsafe {
                    match left {
                        1 => line::<T, S, 1>(simd, weights, left, offsets, from, (to, pitch), len),
                        5.. if S::REGISTER_COUNT >= 32 => {
                            line::<T, S, 8>(simd, weights, left, offsets, from, (to, pitch), len)
                        }
                        _ => line::<T, S, 4>(simd, weights, left, offsets, from, (to, pitch), len),
                    }
                };
                left -= done;
                if left > 0 {
                    // The rows that remain of the tile: theirs are the later ones of each eight weights.
                    weights = &weights[done..];
                    to = &mut to[done * pitch..];
                }
            }
        }
    }
}

/// Some rows of a product over the whole length; how many.
///
/// # Safety
/// `len` is a multiple of the lanes, `from` has as many elements behind each offset and `to` behind the begin of each
/// of the first `min(left, M)` lines; `weights` have `M` elements at each multiple of [`TILE`] below that of the offsets.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn line<T: Real, S: Simd, const M: usize>(
    simd: S,
    weights: &[T],
    left: usize,
    offsets: &[usize],
    from: &[T],
    (to, pitch): (&mut [T], usize),
    len: usize,
) -> usize {
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    let rows = left.min(M);
    let mut at = 0;
    // SAFETY: every place is at most `len` less the width of what is computed there.
    unsafe {
        while at < len {
            let width = match (len - at) / lanes {
                1 => tile::<T, S, M, 1>(simd, weights, rows, offsets, from, (to, pitch), at),
                2 | 4 => tile::<T, S, M, 2>(simd, weights, rows, offsets, from, (to, pitch), at),
                _ => tile::<T, S, M, 3>(simd, weights, rows, offsets, from, (to, pitch), at),
            };
            at += width * lanes;
        }
    }
    rows
}

/// `M` rows of a product, of which `rows` are written, over `V` vectors from the place `at` on; gives back `V`.
///
/// # Safety
/// That of [`line()`], for `at` and `V` vectors in place of `len`.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn tile<T: Real, S: Simd, const M: usize, const V: usize>(
    simd: S,
    weights: &[T],
    rows: usize,
    offsets: &[usize],
    from: &[T],
    (to, pitch): (&mut [T], usize),
    at: usize,
) -> usize {
    // SAFETY: the caller's promise bounds each of these places; vectors are read and written unaligned.
    unsafe {
        let mut sums = [[T::zero().splat(simd); V]; M];
        let mut weight = weights.as_ptr();
        let from = from.as_ptr().add(at);
        for offset in offsets {
            let from = from.add(*offset).cast::<T::Vector<S>>();
            let x: [_; V] = from_fn(|v| from.add(v).read_unaligned());
            for (row, sums) in sums.iter_mut().enumerate() {
                let weight = (*weight.add(row)).splat(simd);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum = T::fused(simd, weight, x, *sum);
                }
            }
            weight = weight.wrapping_add(TILE);
        }
        for (row, sums) in sums.into_iter().enumerate() {
            if row < rows {
                let to = to.as_mut_ptr().add(row * pitch + at);
                for (v, sum) in sums.into_iter().enumerate() {
                    to.cast::<T::Vector<S>>().add(v).write_unaligned(sum);
                }
            }
        }
    }
    V
}

/// `to[row][k] += sum over p of by[row * pitch + p] * from[offsets[k] + p]`, for each row and `p` below `len`; `by` is
/// zero from there on to the next multiple of [`LANES`].
pub struct Correlation<'a, T> {
    pub by: &'a [T],
    pub rows: usize,
    pub pitch: usize,
    pub offsets: &'a [usize],
    pub from: &'a [T],
    pub to: &'a mut [T],
    pub len: usize,
}

impl<T: Real> Correlation<'_, T> {
    pub fn run(self) {
        Arch::new().dispatch(self);
    }
}

impl<T: Real> WithSimd for Correlation<'_, T> {
    type Output = ();

    #[inline(always)]
    #[allow(unsafe_code)]
    fn with_simd<S: Simd>(self, simd: S) {
        let inner = self.offsets.len();
        let len = self.len.next_multiple_of(lanes::<T, S>());
        let reach = self.offsets.iter().max().map_or(0, |most| most + len);
        assert!(
            reach <= self.from.len()
                && self.rows > 0
                && (self.rows - 1) * self.pitch + len <= self.by.len()
                && self.to.len() == self.rows * inner,
            "a correlation beyond its slices"
        );
        // Some rows after the other, which stay in the cache while all offsets meet them.
        let block = (BLOCK / len.max(1)).next_multiple_of(4).max(4);
        for from_row in (0..self.rows).step_by(block) {
            let end = self.rows.min(from_row + block);
            for (first, offsets) in self.offsets.chunks(COLUMNS).enumerate() {
                let count = offsets.len();
                let offsets = from_fn(|column| offsets[column.min(count - 1)]);
                let mut row = from_row;
                while row < end {
                    let by = (&self.by[row * self.pitch..], self.pitch);
                    let to = &mut self.to[row * inner + first * COLUMNS..];
                    let to = (to, inner, count);
                    // SAFETY: the assertion says that every offset, and every row, has `len` elements behind it.
                    row += unsafe {
                        match end - row {
                            4.. if S::REGISTER_COUNT >= 32 => {
                                dots::<T, S, 4>(simd, by, offsets, self.from, to, len)
                            }
                            2.. => dots::<T, S, 2>(simd, by, offsets, self.from, to, len),
                            _ => dots::<T, S, 1>(simd, by, offsets, self.from, to, len),
                        }
                    };
                }
            }
        }
    }
}

/// Adds the dot products of `M` rows with what lies behind each offset to the first `count` elements of as many rows of
/// `to`; gives back `M`.
///
/// # Safety
/// `len` is a multiple of the lanes, and `from` has as many elements behind each offset, `by` behind the begin of each
/// of `M` rows.
#[inline(always)]
#[allow(unsafe_code)]
unsafe fn dots<T: Real, S: Simd, const M: usize>(
    simd: S,
    (by, pitch): (&[T], usize),
    offsets: [usize; COLUMNS],
    from: &[T],
    (to, inner, count): (&mut [T], usize, usize),
    len: usize,
) -> usize {
    let mut sums = [[T::zero().splat(simd); COLUMNS]; M];
    let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
    // SAFETY: every place is at most `len` less the lanes; vectors are read unaligned.
    unsafe {
        let from = offsets.map(|offset| from.as_ptr().add(offset));
        for at in (0..len).step_by(lanes) {
            let read = |from: *const T| from.add(at).cast::<T::Vector<S>>().read_unaligned();
            let by: [_; M] = from_fn(|row| read(by.as_ptr().add(row * pitch)));
            for (column, from) in from.into_iter().enumerate() {
                let x = read(from);
                for (sums, by) in sums.iter_mut().zip(by) {
                    sums[column] = T::fused(simd, by, x, sums[column]);
                }
            }
        }
    }
    for (sums, to) in sums.into_iter().zip(to.chunks_mut(inner)) {
        for (sum, to) in sums.into_iter().zip(&mut to[..count]) {
            *to += T::total(simd, sum);
        }
    }
    M
}
