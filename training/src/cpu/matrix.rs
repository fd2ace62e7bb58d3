//! Products of matrices in slices.

use super::Real;

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
