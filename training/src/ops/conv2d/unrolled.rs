//! Convolution as matrix products over unrolled windows (im2col), for who reads its planes itself.

use super::Geometry;
use crate::cpu::{Matrix, Real, each, multiply, shares, split, sum};

impl Geometry {
    /// Rows and columns of one group's unrolled windows.
    pub fn unrolled(&self) -> (usize, usize) {
        (self.windows.rows(), self.windows.places())
    }

    /// How many pictures one matrix product takes: more where they are small, as long as their unrolled windows stay
    /// in the processor's cache.
    pub fn at_once(&self) -> usize {
        const CACHED: usize = 1 << 16;
        (CACHED / (self.windows.rows() * self.windows.places())).clamp(1, 32)
    }

    /// Room for the unrolled windows and the results of [`Self::at_once`] pictures.
    pub fn scratch<T: Real>(&self) -> Scratch<T> {
        let places = self.at_once() * self.windows.places();
        Scratch {
            unrolled: vec![T::zero(); self.windows.rows() * places],
            planes: vec![T::zero(); self.out * places],
        }
    }

    /// Fills the planes of `scratch` from some pictures: for each output channel the places of one picture after the
    /// other. Without bias.
    pub fn forward<T: Real>(&self, x: &[T], weight: &[T], scratch: &mut Scratch<T>) {
        let (rows, places) = self.unrolled();
        let out = self.out / self.groups;
        let pitch = x.len() / self.input_len() * places;
        for group in 0..self.groups {
            for (picture, x) in x.chunks(self.input_len()).enumerate() {
                let to = &mut scratch.unrolled[picture * places..];
                self.windows
                    .unroll(&x[group * self.windows.len()..], pitch, to);
            }
            multiply(
                [out, rows, pitch],
                Matrix::rows(&weight[group * out * rows..][..out * rows], rows),
                Matrix::rows(&scratch.unrolled[..rows * pitch], pitch),
                false,
                &mut scratch.planes[group * out * pitch..][..out * pitch],
            );
        }
    }

    /// The gradients of x (empty where not wanted), weight and bias. `fill(picture, count, planes, dbias)` writes the
    /// gradient of the planes of `count` pictures from number `picture` on, and adds their sums to `dbias`.
    pub fn backward_all<T: Real>(
        &self,
        (x, weight): (&[T], &[T]),
        want_dx: bool,
        fill: impl Fn(usize, usize, &mut [T], &mut [T]) + Send + Sync,
    ) -> [Vec<T>; 3] {
        let input = self.input_len();
        let shares = shares(self.n, self.work());
        let mut dx = vec![T::zero(); if want_dx { self.n * input } else { 0 }];
        let parts = split(&mut dx, if want_dx { input } else { 0 }, &shares);
        let sums = each(
            shares.iter().cloned().zip(parts).collect(),
            |(share, dx)| {
                let mut sums = vec![T::zero(); self.weight_len() + self.out];
                let (dweight, dbias) = sums.split_at_mut(self.weight_len());
                let mut scratch = self.scratch();
                for picture in share.clone().step_by(self.at_once()) {
                    let count = self.at_once().min(share.end - picture);
                    fill(picture, count, &mut scratch.planes, dbias);
                    let from = (picture - share.start) * input;
                    let dx = want_dx.then(|| &mut dx[from..from + count * input]);
                    let x = &x[picture * input..][..count * input];
                    self.backward((x, weight), &mut scratch, dweight, dx);
                }
                sums
            },
        );
        let mut dweight = sum(sums, self.weight_len() + self.out);
        let dbias = dweight.split_off(self.weight_len());
        [dx, dweight, dbias]
    }

    /// The gradients of some pictures, from that of the planes in `scratch`, added to `dweight` and, where wanted, to
    /// `dx`.
    fn backward<T: Real>(
        &self,
        (x, weight): (&[T], &[T]),
        scratch: &mut Scratch<T>,
        dweight: &mut [T],
        mut dx: Option<&mut [T]>,
    ) {
        let (rows, places) = self.unrolled();
        let out = self.out / self.groups;
        let pitch = x.len() / self.input_len() * places;
        let Scratch { unrolled, planes } = scratch;
        for group in 0..self.groups {
            let channels = group * self.windows.len();
            let dy = Matrix::rows(&planes[group * out * pitch..][..out * pitch], pitch);
            let kernel = group * out * rows..(group + 1) * out * rows;
            for (picture, x) in x.chunks(self.input_len()).enumerate() {
                let to = &mut unrolled[picture * places..];
                self.windows.unroll(&x[channels..], pitch, to);
            }
            let windows = Matrix::transposed(&unrolled[..rows * pitch], pitch);
            multiply(
                [out, pitch, rows],
                dy,
                windows,
                true,
                &mut dweight[kernel.clone()],
            );
            if let Some(dx) = dx.as_deref_mut() {
                let weight = Matrix::transposed(&weight[kernel], rows);
                multiply(
                    [rows, out, pitch],
                    weight,
                    dy,
                    false,
                    &mut unrolled[..rows * pitch],
                );
                for (picture, dx) in dx.chunks_mut(self.input_len()).enumerate() {
                    self.windows
                        .roll(&unrolled[picture * places..], pitch, &mut dx[channels..]);
                }
            }
        }
    }
}

/// What a product needs beside its factors.
pub struct Scratch<T> {
    unrolled: Vec<T>,
    /// For each output channel the places of one picture after the other.
    pub planes: Vec<T>,
}
