//! Normalization of each channel over the batch.

use super::Moments;
use crate::cpu::{Real, each, map, shares, split, sums};
use std::ops::Range;

/// The sizes of (n, channels, length).
#[derive(Clone, Copy)]
pub(super) struct Channels {
    pub channels: usize,
    pub length: usize,
}

impl Channels {
    /// The runs of elements of one channel.
    fn runs<'a, T>(&self, x: &'a [T], channel: usize) -> impl Iterator<Item = &'a [T]> {
        x.chunks(self.length).skip(channel).step_by(self.channels)
    }

    /// Channels for each thread.
    fn shares(&self, elements: usize) -> Vec<Range<usize>> {
        shares(self.channels, elements / self.channels)
    }

    /// Mean and biased variance of each channel.
    pub fn moments<T: Real>(&self, x: &[T]) -> Vec<Moments> {
        each(self.shares(x.len()), |share| {
            share.map(|channel| self.of(x, channel)).collect::<Vec<_>>()
        })
        .concat()
    }

    fn of<T: Real>(&self, x: &[T], channel: usize) -> Moments {
        let count = (x.len() / self.channels) as f64;
        let (mut total, mut squares) = (0.0, 0.0);
        for run in self.runs(x, channel) {
            total += sums([run], |[x]| [x.wide()])[0];
        }
        let mean = total / count;
        for run in self.runs(x, channel) {
            squares += sums([run], |[x]| [(x.wide() - mean) * (x.wide() - mean)])[0];
        }
        Moments {
            mean,
            variance: squares / count,
        }
    }

    pub fn forward<T: Real>(
        &self,
        x: &[T],
        (weight, bias): (&[T], &[T]),
        moments: &[Moments],
        eps: f64,
        (add, relu): (Option<&[T]>, bool),
    ) -> Vec<T> {
        let positive = |y: T| if y <= T::zero() { T::zero() } else { y };
        let scales: Vec<(T, T)> = moments.iter().map(|moments| moments.scale(eps)).collect();
        let shares = shares(x.len() / self.length, self.length);
        let mut y = vec![T::zero(); x.len()];
        let parts = split(&mut y, self.length, &shares);
        each(shares.into_iter().zip(parts).collect(), |(share, y)| {
            let x = x[share.start * self.length..].chunks(self.length);
            for ((run, y), x) in share.zip(y.chunks_mut(self.length)).zip(x) {
                let channel = run % self.channels;
                let ((mean, scale), bias) = (scales[channel], bias[channel]);
                let scale = scale * weight[channel];
                let of = |x: T| (x - mean) * scale + bias;
                let at = run * self.length;
                match (add.map(|add| &add[at..][..x.len()]), relu) {
                    (None, false) => map(y, [x], |[x]| of(x)),
                    (None, true) => map(y, [x], |[x]| positive(of(x))),
                    (Some(add), false) => map(y, [x, add], |[x, add]| of(x) + add),
                    (Some(add), true) => map(y, [x, add], |[x, add]| positive(of(x) + add)),
                }
            }
        });
        y
    }

    /// The gradients of x, weight and bias.
    pub fn backward<T: Real>(
        &self,
        (x, weight, dy): (&[T], &[T], &[T]),
        moments: &[Moments],
        eps: f64,
    ) -> [Vec<T>; 3] {
        let mut dx = vec![T::zero(); x.len()];
        let mut runs: Vec<Vec<&mut [T]>> = (0..self.channels).map(|_| Vec::new()).collect();
        for (run, dx) in dx.chunks_mut(self.length).enumerate() {
            runs[run % self.channels].push(dx);
        }
        let shares = self.shares(2 * x.len());
        let parts = split(&mut runs, 1, &shares);
        let steps = each(shares.into_iter().zip(parts).collect(), |(share, dx)| {
            let of = |(channel, dx): (usize, &mut Vec<&mut [T]>)| {
                let scale = moments[channel].scale(eps);
                self.gradient((x, weight[channel], dy), channel, scale, dx)
            };
            share.zip(dx).map(of).collect::<Vec<_>>()
        });
        let (dweight, dbias) = steps.into_iter().flatten().unzip();
        [dx, dweight, dbias]
    }

    /// Writes the gradient of a channel; gives back those of its weight and bias.
    fn gradient<T: Real>(
        &self,
        (x, weight, dy): (&[T], T, &[T]),
        channel: usize,
        (mean, scale): (T, T),
        dx: &mut [&mut [T]],
    ) -> (T, T) {
        let count = (x.len() / self.channels) as f64;
        // The sums of dy and of dy times the normalized x.
        let (mut total, mut step) = (0.0, 0.0);
        for (x, dy) in self.runs(x, channel).zip(self.runs(dy, channel)) {
            let of = |[x, dy]: [T; 2]| [dy.wide(), (dy * (x - mean) * scale).wide()];
            let [of_dy, of_both] = sums([x, dy], of);
            total += of_dy;
            step += of_both;
        }
        let outer = scale * weight;
        let (mean_dy, slope) = (T::real(total / count), T::real(step / count) * scale);
        let runs = self.runs(x, channel).zip(self.runs(dy, channel));
        for (dx, (x, dy)) in dx.iter_mut().zip(runs) {
            let to = |[x, dy]: [T; 2]| (dy - mean_dy - (x - mean) * slope) * outer;
            map(dx, [x, dy], to);
        }
        (T::real(step), T::real(total))
    }
}
