//! Attention of one head of one item, on one thread.

use crate::cpu::{LANES, Matrix, Real, map, multiply, sums, vectorized};
use pulp::{Simd, WithSimd};

/// Rows of scores that are held at once, and columns.
const QUERIES: usize = 64;
const KEYS: usize = 128;

/// The sizes.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub queries: usize,
    pub keys: usize,
    /// Of the rows of q and k.
    pub width: usize,
    /// Of those of v.
    pub value: usize,
    pub causal: bool,
}

/// What a backward pass starts from.
pub(super) struct Given<'a, T> {
    /// q, k and v.
    pub of: [Matrix<'a, T>; 3],
    pub y: Matrix<'a, T>,
    pub dy: Matrix<'a, T>,
    /// What the forward pass gave.
    pub scales: &'a [f64],
}

/// A block of scores.
#[derive(Clone, Copy)]
struct Block {
    query: usize,
    rows: usize,
    key: usize,
    columns: usize,
}

impl Head {
    /// Elementary steps: what decides over threads.
    pub fn work(&self) -> usize {
        self.queries * self.keys * (self.width + self.value)
    }

    fn scale<T: Real>(&self) -> T {
        T::real(1.0 / (self.width as f64).sqrt())
    }

    /// The blocks of some rows of q that see anything, or of some columns of k that are seen.
    fn block(&self, query: usize, key: usize) -> Option<Block> {
        let rows = QUERIES.min(self.queries - query);
        let seen = !self.causal || key < query + rows;
        seen.then_some(Block {
            query,
            rows,
            key,
            columns: KEYS.min(self.keys - key),
        })
    }

    /// How many columns of a block a row of it sees.
    fn seen(&self, block: Block, row: usize) -> usize {
        match self.causal {
            true => (block.query + row + 1)
                .saturating_sub(block.key)
                .min(block.columns),
            false => block.columns,
        }
    }

    /// q k^T of a block, one row after the other.
    fn scores<T: Real>(&self, block: Block, q: Matrix<T>, k: Matrix<T>, to: &mut [T]) {
        let sizes = [block.rows, self.width, block.columns];
        let q = from_row(q, block.query);
        let to = &mut to[..block.rows * block.columns];
        multiply(sizes, q, turned(from_row(k, block.key)), false, to);
    }

    /// Fills the rows of `y`; gives back the greatest score of each row, scaled, and the sum of the exponentials.
    pub fn forward<T: Real>(&self, [q, k, v]: [Matrix<T>; 3], y: &mut [&mut [T]]) -> Vec<f64> {
        let (mut scores, mut sums) = (scratch(QUERIES * KEYS), scratch(QUERIES * self.value));
        let mut scales = Vec::with_capacity(2 * self.queries);
        for (query, y) in (0..).step_by(QUERIES).zip(y.chunks_mut(QUERIES)) {
            let mut of_rows = vec![(T::neg_infinity(), T::zero()); y.len()];
            let blocks = (0..self.keys).step_by(KEYS);
            for block in blocks.filter_map(|key| self.block(query, key)) {
                let scores = &mut scores[..block.rows * block.columns];
                self.scores(block, q, k, scores);
                let rows = scores.chunks_mut(block.columns).zip(&mut of_rows);
                for (row, (scores, of_row)) in rows.enumerate() {
                    let (seen, unseen) = scores.split_at_mut(self.seen(block, row));
                    unseen.fill(T::zero());
                    let shrink = weigh(seen, self.scale(), of_row);
                    if block.key > 0 {
                        let sums = &mut sums[row * self.value..][..self.value];
                        sums.iter_mut().for_each(|sum| *sum *= shrink);
                    }
                }
                let sizes = [block.rows, block.columns, self.value];
                let (scores, v) = (Matrix::rows(scores, block.columns), from_row(v, block.key));
                let sums = &mut sums[..block.rows * self.value];
                multiply(sizes, scores, v, block.key > 0, sums);
            }
            for ((y, sums), (top, total)) in y.iter_mut().zip(sums.chunks(self.value)).zip(of_rows)
            {
                let share = T::one() / total;
                map(y, [sums], |[sum]| sum * share);
                scales.extend([top.wide(), total.wide()]);
            }
        }
        scales
    }

    /// Fills the rows of the gradients of q, k and v.
    pub fn backward<T: Real>(&self, given: Given<T>, [dq, dk, dv]: &mut [Vec<&mut [T]>; 3]) {
        let k = given.of[1];
        let mut blocks = [(); 2].map(|()| scratch(QUERIES * KEYS));
        let (mut of_k, mut of_v) = (scratch(KEYS * self.width), scratch(KEYS * self.value));
        let mut of_q = scratch(self.queries * self.width);
        let slopes = self.slopes(&given);
        for key in (0..self.keys).step_by(KEYS) {
            of_k.fill(T::zero());
            of_v.fill(T::zero());
            let queries = (0..self.queries).step_by(QUERIES);
            for block in queries.filter_map(|query| self.block(query, key)) {
                let Block {
                    query,
                    rows,
                    columns,
                    ..
                } = block;
                self.steps(block, &given, &slopes, &mut blocks);
                let [weights, steps] = &blocks;
                let (q, dy) = (from_row(given.of[0], query), from_row(given.dy, query));
                let of_q = &mut of_q[query * self.width..][..rows * self.width];
                let of_k = &mut of_k[..columns * self.width];
                let of_v = &mut of_v[..columns * self.value];
                let (across, along) = (
                    Matrix::transposed(steps, columns),
                    Matrix::rows(steps, columns),
                );
                let weights = Matrix::transposed(weights, columns);
                multiply([columns, rows, self.value], weights, dy, true, of_v);
                multiply([columns, rows, self.width], across, q, true, of_k);
                let k = from_row(k, key);
                multiply([rows, columns, self.width], along, k, true, of_q);
            }
            write(dk.iter_mut().skip(key), &of_k, self.width);
            write(dv.iter_mut().skip(key), &of_v, self.value);
        }
        write(dq.iter_mut(), &of_q, self.width);
    }

    /// The sum of y times its gradient, of each row.
    fn slopes<T: Real>(&self, given: &Given<T>) -> Vec<T> {
        let row = |matrix: Matrix<'_, T>, row: usize| -> usize { row * matrix.row };
        let of = |at: usize| {
            let y = &given.y.elements[row(given.y, at)..][..self.value];
            let dy = &given.dy.elements[row(given.dy, at)..][..self.value];
            T::real(sums([y, dy], |[y, dy]| [(y * dy).wide()])[0])
        };
        (0..self.queries).map(of).collect()
    }

    /// The weights of a block, made anew, and the gradients of its scores.
    fn steps<T: Real>(
        &self,
        block: Block,
        given: &Given<T>,
        slopes: &[T],
        [weights, steps]: &mut [Vec<T>; 2],
    ) {
        let [q, k, v] = given.of;
        let Block {
            query,
            rows,
            columns,
            ..
        } = block;
        self.scores(block, q, k, steps);
        let scale = self.scale::<T>();
        for row in 0..rows {
            let at = 2 * (query + row);
            let (top, total) = (T::real(given.scales[at]), T::real(given.scales[at + 1]));
            let (share, seen) = (T::one() / total, self.seen(block, row));
            let (weights, scores) = (&mut weights[row * columns..], &steps[row * columns..]);
            let weight = |[score]: [T; 1]| (score * scale - top).power() * share;
            map(&mut weights[..seen], [&scores[..seen]], weight);
            weights[seen..columns].fill(T::zero());
        }
        let sizes = [rows, self.value, columns];
        let dy = from_row(given.dy, query);
        let to = &mut steps[..rows * columns];
        multiply(sizes, dy, turned(from_row(v, block.key)), false, to);
        let rows = to.chunks_mut(columns).zip(weights.chunks(columns));
        for ((steps, weights), slope) in rows.zip(&slopes[query..]) {
            vectorized(Steps {
                steps,
                weights,
                slope: *slope,
                scale,
            });
        }
    }
}

fn scratch<T: Real>(len: usize) -> Vec<T> {
    vec![T::zero(); len]
}

fn from_row<T>(matrix: Matrix<'_, T>, row: usize) -> Matrix<'_, T> {
    Matrix {
        elements: &matrix.elements[row * matrix.row..],
        ..matrix
    }
}

fn turned<T>(matrix: Matrix<'_, T>) -> Matrix<'_, T> {
    Matrix {
        row: matrix.column,
        column: matrix.row,
        ..matrix
    }
}

fn write<'a, 'b: 'a, T: Real>(
    rows: impl Iterator<Item = &'a mut &'b mut [T]>,
    from: &[T],
    width: usize,
) {
    for (row, from) in rows.zip(from.chunks(width)) {
        row.copy_from_slice(from);
    }
}

/// Makes scores the exponentials of what they are above the greatest so far, and keeps that and the sum; gives back by
/// what earlier sums are to be multiplied.
fn weigh<T: Real>(scores: &mut [T], scale: T, (top, total): &mut (T, T)) -> T {
    if scores.is_empty() {
        return T::one();
    }
    let (sum, new) = vectorized(Weigh {
        scores,
        scale,
        top: *top,
    });
    let shrink = match *total == T::zero() {
        true => T::zero(),
        false => (*top - new).power(),
    };
    *total = *total * shrink + sum;
    *top = new;
    shrink
}

struct Weigh<'a, T> {
    scores: &'a mut [T],
    scale: T,
    top: T,
}

impl<T: Real> WithSimd for Weigh<'_, T> {
    /// The sum of the exponentials, and the greatest score.
    type Output = (T, T);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> (T, T) {
        let mut tops = [T::neg_infinity(); LANES];
        let (blocks, rest) = self.scores.as_chunks_mut::<LANES>();
        for block in &*blocks {
            for (top, score) in tops.iter_mut().zip(block) {
                *top = if *score > *top { *score } else { *top };
            }
        }
        for (top, score) in tops.iter_mut().zip(&*rest) {
            *top = if *score > *top { *score } else { *top };
        }
        let top = tops
            .into_iter()
            .fold(T::neg_infinity(), num_traits::Float::max);
        let top = num_traits::Float::max(self.top, top * self.scale);
        let mut totals = [T::zero(); LANES];
        for block in blocks {
            for (total, score) in totals.iter_mut().zip(block) {
                *score = (*score * self.scale - top).power();
                *total += *score;
            }
        }
        for (total, score) in totals.iter_mut().zip(rest) {
            *score = (*score * self.scale - top).power();
            *total += *score;
        }
        (totals.into_iter().sum(), top)
    }
}

/// Makes gradients of weights those of scores.
struct Steps<'a, T> {
    steps: &'a mut [T],
    weights: &'a [T],
    slope: T,
    scale: T,
}

impl<T: Real> WithSimd for Steps<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (step, weight) in self.steps.iter_mut().zip(self.weights) {
            *step = *weight * (*step - self.slope) * self.scale;
        }
    }
}
