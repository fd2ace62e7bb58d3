//! Convolution, dropout of channels, 2 x 2 maximum pool and rectifier in one pass: what stands between is never
//! written to memory.

use super::{
    Conv2dConfig, Pool2dConfig, conv2d,
    conv2d::{Geometry, gradients},
    max_pool2d::winner,
    max_pool2d_relu, ours,
    window::Windows,
};
use crate::cpu::{Real, by_dtype, dtype, each, shares, slice, split, with};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use carrel_ranks::lock;
use std::sync::Mutex;

/// `relu(max_pool2d(mask * conv2d(x, weight, bias), 2))`; `mask` has one factor of at least 0 for each picture and
/// output channel.
///
/// # Errors
/// Those of [`conv2d`](super::conv2d()), or when the mask does not fit.
pub fn conv2d_max_pool2d_relu(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    config: &Conv2dConfig,
    mask: Option<Vec<f32>>,
) -> Result<Tensor> {
    let geometry = Geometry::new(x.shape(), weight.shape(), Some(bias.shape()), config)?;
    let planes = geometry.n * geometry.out;
    if let Some(mask) = &mask
        && (mask.len() != planes || mask.iter().any(|factor| *factor < 0.0))
    {
        bail!(
            "conv2d_max_pool2d_relu: expected {planes} factors of at least 0, got {}",
            mask.len()
        )
    }
    let [height, width] = geometry.windows.output();
    if !ours(&[x, weight]) || height < 2 || width < 2 {
        let mut y = conv2d(x, weight, Some(bias), config)?;
        if let Some(mask) = mask {
            let mask = Tensor::from_vec(mask, (geometry.n, geometry.out, 1, 1), x.device())?;
            y = y.broadcast_mul(&mask.to_dtype(x.dtype())?)?;
        }
        return max_pool2d_relu(&y, &Pool2dConfig::new(2));
    }
    let op = ConvPool {
        geometry,
        mask,
        winners: Mutex::default(),
    };
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

struct ConvPool {
    geometry: Geometry,
    mask: Option<Vec<f32>>,
    /// The place in its plane of each window's maximum, from the forward pass.
    winners: Mutex<Vec<u32>>,
}

impl ConvPool {
    fn pooled(&self) -> [usize; 2] {
        self.geometry.windows.output().map(|size| size / 2)
    }

    fn factor<T: Real>(&self, plane: usize) -> T {
        self.mask
            .as_ref()
            .map_or(T::one(), |mask| T::real(f64::from(mask[plane])))
    }

    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> (Vec<T>, Vec<u32>) {
        let geometry = &self.geometry;
        let (places, at_once) = (geometry.windows.places(), geometry.at_once());
        let [_, width] = geometry.windows.output();
        let input = geometry.input_len();
        let pooled: usize = self.pooled().iter().product();
        let per_picture = geometry.out * pooled;
        let shares = shares(geometry.n, geometry.work());
        let mut y = vec![T::zero(); geometry.n * per_picture];
        let mut winners = vec![0; y.len()];
        let parts = split(&mut y, per_picture, &shares).into_iter();
        let parts = parts.zip(split(&mut winners, per_picture, &shares));
        each(
            shares.iter().cloned().zip(parts).collect(),
            |(share, (y, winners))| {
                let mut scratch = geometry.scratch();
                for picture in share.clone().step_by(at_once) {
                    let count = at_once.min(share.end - picture);
                    let x = &x[picture * input..][..count * input];
                    geometry.forward(x, weight, &mut scratch);
                    for at in 0..count * geometry.out {
                        let (number, channel) = (at / geometry.out, at % geometry.out);
                        let plane =
                            &scratch.planes[(channel * count + number) * places..][..places];
                        let to = ((picture - share.start) * geometry.out + at) * pooled;
                        let y = &mut y[to..to + pooled];
                        let winners = &mut winners[to..to + pooled];
                        match plane.iter().fold(false, |nan, x| nan | x.is_nan()) {
                            false => pool_plane(plane, width, y, winners),
                            true => pool_broken_plane(plane, width, y, winners),
                        }
                        let factor = self.factor::<T>(picture * geometry.out + at);
                        for y in y {
                            let value = (*y + bias[channel]) * factor;
                            *y = if value <= T::zero() { T::zero() } else { value };
                        }
                    }
                }
            },
        );
        (y, winners)
    }

    /// The gradients of x (empty where not wanted), weight and bias.
    fn backward<T: Real>(
        &self,
        (x, weight, y, dy): (&[T], &[T], &[T], &[T]),
        winners: &[u32],
        want_dx: bool,
    ) -> [Vec<T>; 3] {
        let (geometry, places) = (&self.geometry, self.geometry.windows.places());
        let pooled: usize = self.pooled().iter().product();
        geometry.backward_all((x, weight), want_dx, |picture, count, planes, dbias| {
            planes[..geometry.out * count * places].fill(T::zero());
            for at in 0..count * geometry.out {
                let (number, channel) = (at / geometry.out, at % geometry.out);
                let plane = &mut planes[(channel * count + number) * places..][..places];
                let which = picture * geometry.out + at;
                let of = which * pooled..(which + 1) * pooled;
                let parts = y[of.clone()].iter().zip(&dy[of.clone()]);
                dbias[channel] += spread(parts.zip(&winners[of]), self.factor(which), plane);
            }
        })
    }
}

/// The maximum of each 2 x 2 window of a plane of numbers, and its place; a tie goes to the first.
fn pool_plane<T: Real>(plane: &[T], width: usize, y: &mut [T], winners: &mut [u32]) {
    let pooled = width / 2;
    let lines = y.chunks_mut(pooled).zip(winners.chunks_mut(pooled));
    for (row, (y, winners)) in lines.enumerate() {
        let from = 2 * row * width;
        let (top, rest) = plane[from..].split_at(width);
        let pairs = top.as_chunks::<2>().0.iter().zip(rest.as_chunks::<2>().0);
        let places = (from as u32..).step_by(2);
        for (((y, winner), ([a, b], [c, d])), place) in
            y.iter_mut().zip(winners).zip(pairs).zip(places)
        {
            let (upper, at_upper) = if *b > *a { (*b, 1) } else { (*a, 0) };
            let (lower, at_lower) = if *d > *c { (*d, 1) } else { (*c, 0) };
            let below = lower > upper;
            *y = if below { lower } else { upper };
            *winner = place
                + if below {
                    width as u32 + at_lower
                } else {
                    at_upper
                };
        }
    }
}

/// The same where an element is not a number: it wins its window, which comparisons alone would not see.
fn pool_broken_plane<T: Real>(plane: &[T], width: usize, y: &mut [T], winners: &mut [u32]) {
    let windows = Windows {
        channels: 1,
        size: [plane.len() / width, width],
        kernel: [2; 2],
        stride: 2,
        padding: [0; 2],
        dilation: 1,
    };
    for (at, (y, place)) in y.iter_mut().zip(winners).enumerate() {
        let (best, at) = winner(&windows, plane, [at / (width / 2), at % (width / 2)]);
        (*y, *place) = (best, at as u32);
    }
}

/// Writes the gradients of the pooled elements to the places of their maxima; gives back their sum.
fn spread<'a, T: Real>(
    parts: impl Iterator<Item = ((&'a T, &'a T), &'a u32)>,
    factor: T,
    plane: &mut [T],
) -> T {
    let mut total = T::zero();
    for ((y, dy), winner) in parts {
        let step = if *y == T::zero() {
            T::zero()
        } else {
            *dy * factor
        };
        plane[*winner as usize] = step;
        total += step;
    }
    total
}

impl CustomOp3 for ConvPool {
    fn name(&self) -> &'static str {
        "conv2d_max_pool2d_relu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [height, width] = self.pooled();
        let y = by_dtype!(dtype(x), T => {
            let (x, weight) = (slice::<T>(x, x_layout)?, slice::<T>(weight, weight_layout)?);
            let (y, winners) = self.forward(x, weight, slice::<T>(bias, bias_layout)?);
            *lock(&self.winners) = winners;
            WithDType::to_cpu_storage_owned(y)
        });
        Ok((
            y,
            Shape::from((self.geometry.n, self.geometry.out, height, width)),
        ))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let want_dx = x.track_op();
        let winners = lock(&self.winners);
        by_dtype!(x.dtype(), T => {
            let [dx, dweight, dbias] = with::<T, _>(x, |x| with(weight, |weight| {
                with(y, |y| with(dy, |dy| {
                    Ok(self.backward((x, weight, y, dy), &winners, want_dx))
                }))
            }))?;
            gradients(want_dx.then_some(dx), dweight, dbias, [x, weight, bias])
        })
    }
}
