//! Normalization of each row by itself.

use super::Moments;
use crate::cpu::{Real, each, map, shares, split, sum, sums, vectorized};
use pulp::{Simd, WithSimd};

/// Rows of `width` elements.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub width: usize,
}

/// Elementary steps for each element: what decides over threads.
const WORK: usize = 2;

impl Rows {
    /// Normalizes, then scales and shifts each column; with the moments of each row.
    pub fn forward<T: Real>(
        &self,
        x: &[T],
        (weight, bias): (&[T], &[T]),
        eps: f64,
    ) -> (Vec<T>, Vec<Moments>) {
        normalized(x, self.width, |_, y, x| {
            let moments = Moments::of(x);
            let (mean, scale) = moments.scale::<T>(eps);
            let to = |[x, w, b]: [T; 3]| (x - mean) * scale * w + b;
            map(y, [x, weight, bias], to);
            moments
        })
    }

    /// The gradients of x, weight and bias.
    pub fn backward<T: Real>(
        &self,
        (x, weight, dy): (&[T], &[T], &[T]),
        moments: &[Moments],
        eps: f64,
    ) -> [Vec<T>; 3] {
        let width = self.width;
        gradients_of(x.len(), (width, width), |row, steps, dx| {
            let at = row * width..(row + 1) * width;
            let of_row = (&x[at.clone()], weight, &dy[at]);
            gradient(of_row, moments[row].scale(eps), steps, dx);
        })
    }
}

/// Writes each row of `width` elements by its number and itself, on several threads; with what that tells of each.
pub(super) fn normalized<T: Real>(
    x: &[T],
    width: usize,
    write: impl Fn(usize, &mut [T], &[T]) -> Moments + Sync,
) -> (Vec<T>, Vec<Moments>) {
    let shares = shares(x.len() / width, width * WORK);
    let mut y = vec![T::zero(); x.len()];
    let parts = split(&mut y, width, &shares);
    let moments = each(shares.into_iter().zip(parts).collect(), |(share, y)| {
        let x = &x[share.start * width..share.end * width];
        let rows = share.zip(y.chunks_mut(width).zip(x.chunks(width)));
        rows.map(|(row, (y, x))| write(row, y, x))
            .collect::<Vec<_>>()
    });
    (y, moments.concat())
}

/// The gradients of x, of so many elements in rows of `width`, and of `all` weights and biases: `write` does so for one row,
/// by its number, and adds to those of the weights and, behind them, of the biases.
pub(super) fn gradients_of<T: Real>(
    count: usize,
    (width, all): (usize, usize),
    write: impl Fn(usize, &mut [f64], &mut [T]) + Sync,
) -> [Vec<T>; 3] {
    let shares = shares(count / width, 2 * width * WORK);
    let mut dx = vec![T::zero(); count];
    let parts = split(&mut dx, width, &shares);
    let steps = each(shares.into_iter().zip(parts).collect(), |(share, dx)| {
        let mut steps = vec![0.0; 2 * all];
        for (row, dx) in share.zip(dx.chunks_mut(width)) {
            write(row, &mut steps, dx);
        }
        steps
    });
    let steps = sum::<f64>(steps, 2 * all).into_iter().map(T::real);
    let mut dweight: Vec<T> = steps.collect();
    let dbias = dweight.split_off(all);
    [dx, dweight, dbias]
}

/// The gradient of a row; those of weight and bias are added to `steps`.
fn gradient<T: Real>(
    (x, weight, dy): (&[T], &[T], &[T]),
    (mean, scale): (T, T),
    steps: &mut [f64],
    dx: &mut [T],
) {
    let count = x.len() as f64;
    let weighted = |[x, w, dy]: [T; 3]| {
        let dy = (dy * w).wide();
        [dy, dy * ((x - mean) * scale).wide()]
    };
    let [total, step] = sums([x, weight, dy], weighted);
    let (total, slope) = (T::real(total / count), T::real(step / count) * scale);
    let to = |[x, w, dy]: [T; 3]| (dy * w - total - (x - mean) * slope) * scale;
    map(dx, [x, weight, dy], to);
    vectorized(Steps {
        x,
        dy,
        scale: (mean, scale),
        to: steps,
    });
}

/// Adds the gradients of weight and bias of one row to those of the others, which `to` has one after the other.
struct Steps<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    scale: (T, T),
    to: &'a mut [f64],
}

impl<T: Real> WithSimd for Steps<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let (mean, scale) = self.scale;
        let (dweight, dbias) = self.to.split_at_mut(self.x.len());
        let sums = dweight.iter_mut().zip(dbias);
        for (((dweight, dbias), x), dy) in sums.zip(self.x).zip(self.dy) {
            *dweight += (*dy * (*x - mean) * scale).wide();
            *dbias += dy.wide();
        }
    }
}
