//! Normalization by mean and variance: of each channel over the batch, and of each row by itself.

use super::{conv2d::gradients, ours, portable};
use crate::cpu::{Real, add, by_dtype, dtype, each, shares, slice, split, sum, with};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};

/// What [`batch_norm`] gives back.
#[derive(Debug)]
pub struct Normalized {
    pub y: Tensor,
    /// Mean of each channel.
    pub mean: Tensor,
    /// Biased variance of each channel.
    pub variance: Tensor,
}

/// Normalizes every channel of `x` (n, c, ..) over the batch, then scales by `weight` (c) and adds `bias` (c).
///
/// # Errors
/// When the shapes do not fit, or a channel has no elements.
pub fn batch_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Normalized> {
    let (n, channels) = match x.dims() {
        [n, channels, ..] => (*n, *channels),
        _ => bail!("batch_norm: expected x (n, c, ..), got {:?}", x.shape()),
    };
    if weight.dims() != [channels] || bias.dims() != [channels] || x.elem_count() == 0 {
        bail!(
            "batch_norm: weight {:?} and bias {:?} do not fit x {:?}",
            weight.shape(),
            bias.shape(),
            x.shape()
        )
    }
    if !ours(&[x, weight, bias]) {
        return portable::batch_norm(x, weight, bias, eps);
    }
    let x = x.contiguous()?;
    let length = x.elem_count() / n / channels;
    let groups = Groups::Channels { channels, length };
    let moments = by_dtype!(x.dtype(), T => with::<T, _>(&x, |x| Ok(groups.moments(x)))?);
    let of = |which: fn(&(f64, f64)) -> f64| {
        let values: Vec<f64> = moments.iter().map(which).collect();
        Tensor::from_vec(values, channels, x.device())?.to_dtype(x.dtype())
    };
    let (mean, variance) = (of(|m| m.0)?, of(|m| m.1)?);
    let norm = Norm {
        groups,
        moments,
        eps,
    };
    let y = x.apply_op3(&weight.contiguous()?, &bias.contiguous()?, norm)?;
    Ok(Normalized { y, mean, variance })
}

/// Normalizes `x` over its last dimensions, which are those of `weight` and `bias`, then scales and shifts by these.
///
/// # Errors
/// When the shapes do not fit.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let fits = x.dims().ends_with(weight.dims()) && weight.dims() == bias.dims();
    if !fits || weight.elem_count() == 0 {
        bail!(
            "layer_norm: weight {:?} and bias {:?} do not fit x {:?}",
            weight.shape(),
            bias.shape(),
            x.shape()
        )
    }
    if !ours(&[x, weight, bias]) {
        return portable::layer_norm(x, weight, bias, eps);
    }
    let x = x.contiguous()?;
    let width = weight.elem_count();
    let groups = Groups::Rows { width };
    let moments = by_dtype!(x.dtype(), T => with::<T, _>(&x, |x| Ok(groups.moments(x)))?);
    let norm = Norm {
        groups,
        moments,
        eps,
    };
    x.apply_op3(&weight.contiguous()?, &bias.contiguous()?, norm)
}

/// Which elements share a mean, and which share a weight.
#[derive(Clone, Copy)]
enum Groups {
    /// All of a channel, in every item of the batch, share both.
    Channels { channels: usize, length: usize },
    /// A row shares a mean, a column a weight.
    Rows { width: usize },
}

impl Groups {
    /// Mean and biased variance of each group, summed in f64.
    fn moments<T: Real>(&self, x: &[T]) -> Vec<(f64, f64)> {
        let of = |runs: &mut dyn Iterator<Item = &[T]>| {
            let runs: Vec<&[T]> = runs.collect();
            let count = runs.iter().map(|run| run.len()).sum::<usize>() as f64;
            let all = || {
                runs.iter()
                    .flat_map(|run| run.iter())
                    .map(|x| candle_core::WithDType::to_f64(*x))
            };
            let mean = all().sum::<f64>() / count;
            let variance = all().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
            (mean, variance)
        };
        match *self {
            Self::Rows { width } => x
                .chunks(width)
                .map(|row| of(&mut [row].into_iter()))
                .collect(),
            Self::Channels { channels, length } => (0..channels)
                .map(|channel| of(&mut x.chunks(length).skip(channel).step_by(channels)))
                .collect(),
        }
    }

    /// Runs of elements that share a mean: their length.
    fn run(&self) -> usize {
        match *self {
            Self::Rows { width } => width,
            Self::Channels { length, .. } => length,
        }
    }

    /// The group of a run.
    fn group(&self, run: usize) -> usize {
        match *self {
            Self::Rows { .. } => run,
            Self::Channels { channels, .. } => run % channels,
        }
    }

    /// The place among the weights of the element `at` of a run.
    fn weight(&self, run: usize, at: usize) -> usize {
        match *self {
            Self::Rows { .. } => at,
            Self::Channels { channels, .. } => run % channels,
        }
    }
}

struct Norm {
    groups: Groups,
    /// Mean and variance of each group.
    moments: Vec<(f64, f64)>,
    eps: f64,
}

impl Norm {
    /// Mean, and 1 / deviation.
    fn scale<T: Real>(&self, group: usize) -> (T, T) {
        let (mean, variance) = self.moments[group];
        (T::real(mean), T::real(1.0 / (variance + self.eps).sqrt()))
    }

    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let width = self.groups.run();
        let mut y = x.to_vec();
        for (run, y) in y.chunks_mut(width).enumerate() {
            let (mean, scale) = self.scale::<T>(self.groups.group(run));
            for (at, y) in y.iter_mut().enumerate() {
                let which = self.groups.weight(run, at);
                *y = (*y - mean) * scale * weight[which] + bias[which];
            }
        }
        y
    }

    /// The gradients of x, weight and bias; sums are in f64, as those of large planes lose much otherwise.
    fn backward<T: Real>(&self, x: &[T], weight: &[T], dy: &[T]) -> [Vec<T>; 3] {
        let (width, weights) = (self.groups.run(), weight.len());
        let runs = x.len() / width;
        let shares = shares(runs, width * 8);
        // Of each run: the sums of dy and of dy times the normalized x, both weighted; of each weight the same, bare.
        let parts = each(shares.clone(), |share| {
            let mut bare = vec![0.0; 2 * weights];
            let mut weighted = Vec::with_capacity(share.len());
            for run in share {
                let (mean, scale) = self.scale::<T>(self.groups.group(run));
                let mut sums = (0.0, 0.0);
                let places = run * width..(run + 1) * width;
                for (at, (x, dy)) in x[places.clone()].iter().zip(&dy[places]).enumerate() {
                    let which = self.groups.weight(run, at);
                    let step = *dy * (*x - mean) * scale;
                    let (step, dy) = (WithDType::to_f64(step), WithDType::to_f64(*dy));
                    let weight = WithDType::to_f64(weight[which]);
                    bare[which] += step;
                    bare[weights + which] += dy;
                    sums.0 += dy * weight;
                    sums.1 += step * weight;
                }
                weighted.push(sums);
            }
            (bare, weighted)
        });
        let (bare, weighted): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let bare: Vec<T> = sum::<f64>(bare, 2 * weights)
            .into_iter()
            .map(T::real)
            .collect();
        let (dweight, dbias) = bare.split_at(weights);
        let means = self.group_means::<T>(&weighted.concat(), width);
        let mut dx = vec![T::zero(); x.len()];
        let parts = split(&mut dx, width, &shares);
        each(shares.into_iter().zip(parts).collect(), |(share, dx)| {
            for (run, dx) in share.zip(dx.chunks_mut(width)) {
                let group = self.groups.group(run);
                let ((mean, scale), (total, step)) = (self.scale::<T>(group), means[group]);
                for (at, dx) in dx.iter_mut().enumerate() {
                    let place = run * width + at;
                    let normal = (x[place] - mean) * scale;
                    let dy = dy[place] * weight[self.groups.weight(run, at)];
                    *dx = (dy - total - normal * step) * scale;
                }
            }
        });
        [dx, dweight.to_vec(), dbias.to_vec()]
    }

    /// The sums of runs, as means over the elements of their group.
    fn group_means<T: Real>(&self, of_runs: &[(f64, f64)], width: usize) -> Vec<(T, T)> {
        let groups = self.moments.len();
        // No rows at all have no groups either.
        let size = (of_runs.len() / groups.max(1) * width) as f64;
        let mut sums = vec![0.0; 2 * groups];
        for (run, (total, step)) in of_runs.iter().enumerate() {
            let group = self.groups.group(run);
            add(&mut sums[2 * group..2 * group + 2], &[*total, *step]);
        }
        let mean = |sum: f64| T::real(sum / size);
        sums.chunks(2).map(|s| (mean(s[0]), mean(s[1]))).collect()
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        match self.groups {
            Groups::Channels { .. } => "batch_norm",
            Groups::Rows { .. } => "layer_norm",
        }
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
        let y = by_dtype!(dtype(x), T => {
            let (x, weight) = (slice::<T>(x, x_layout)?, slice::<T>(weight, weight_layout)?);
            let bias = slice::<T>(bias, bias_layout)?;
            WithDType::to_cpu_storage_owned(self.forward(x, weight, bias))
        });
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => {
            let [dx, dweight, dbias] = with::<T, _>(x, |x| with(weight, |weight| with(dy, |dy| {
                Ok(self.backward(x, weight, dy))
            })))?;
            gradients(Some(dx), dweight, dbias, [x, weight, bias])
        })
    }
}
