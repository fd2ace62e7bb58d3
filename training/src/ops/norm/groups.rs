//! Normalization of groups of channels of each item.

use super::Moments;
use super::rows::{gradients_of, normalized};
use crate::cpu::{Real, map, sums};

/// The sizes of (n, groups, channels of a group, length).
#[derive(Clone, Copy)]
pub(super) struct Together {
    pub groups: usize,
    /// Of one group.
    pub channels: usize,
    pub length: usize,
}

impl Together {
    /// Elements that share a mean.
    fn width(&self) -> usize {
        self.channels * self.length
    }

    /// The channels of the group with this number among those of all items.
    fn channels_of(&self, group: usize) -> std::ops::Range<usize> {
        let first = group % self.groups * self.channels;
        first..first + self.channels
    }

    /// With the moments of each group of each item.
    pub fn forward<T: Real>(
        &self,
        x: &[T],
        (weight, bias): (&[T], &[T]),
        eps: f64,
    ) -> (Vec<T>, Vec<Moments>) {
        let width = self.width();
        normalized(x, width, |group, y, x| {
            let moments = Moments::of(x);
            let (mean, scale) = moments.scale::<T>(eps);
            let runs = y.chunks_mut(self.length).zip(x.chunks(self.length));
            for (channel, (y, x)) in self.channels_of(group).zip(runs) {
                let (scale, bias) = (scale * weight[channel], bias[channel]);
                map(y, [x], |[x]| (x - mean) * scale + bias);
            }
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
        let (width, all) = (self.width(), self.groups * self.channels);
        gradients_of(x.len(), (width, all), |group, steps, dx| {
            let at = group * width..(group + 1) * width;
            let scale = moments[group].scale(eps);
            let of_group = (&x[at.clone()], weight, &dy[at]);
            self.gradient(of_group, self.channels_of(group), scale, steps, dx);
        })
    }

    /// Writes the gradient of a group; those of weight and bias are added to `steps`, one after the other.
    fn gradient<T: Real>(
        &self,
        (x, weight, dy): (&[T], &[T], &[T]),
        channels: std::ops::Range<usize>,
        (mean, scale): (T, T),
        steps: &mut [f64],
        dx: &mut [T],
    ) {
        let (dweight, dbias) = steps.split_at_mut(weight.len());
        let (mut total, mut step) = (0.0, 0.0);
        let runs = x.chunks(self.length).zip(dy.chunks(self.length));
        for (channel, (x, dy)) in channels.clone().zip(runs.clone()) {
            let of = |[x, dy]: [T; 2]| [dy.wide(), (dy * (x - mean) * scale).wide()];
            let [of_dy, of_both] = sums([x, dy], of);
            dbias[channel] += of_dy;
            dweight[channel] += of_both;
            total += of_dy * weight[channel].wide();
            step += of_both * weight[channel].wide();
        }
        let count = x.len() as f64;
        let (total, slope) = (T::real(total / count), T::real(step / count) * scale);
        for ((channel, (x, dy)), dx) in channels.zip(runs).zip(dx.chunks_mut(self.length)) {
            let weight = weight[channel];
            let to = |[x, dy]: [T; 2]| (dy * weight - total - (x - mean) * slope) * scale;
            map(dx, [x, dy], to);
        }
    }
}
