//! Normalization by mean and variance: of each channel over the batch, of groups of channels, and of each row by itself.

mod channels;
mod groups;
mod rows;

use super::{conv2d::gradients, ours, portable};
use crate::cpu::{Real, by_dtype, dtype, each, map, shares, slice, split, sums, with};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use carrel_ranks::lock;
use channels::Channels;
use groups::Together;
use rows::Rows;
use std::sync::Mutex;

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
    batch_norm_then(x, (weight, bias), eps, None, false)
}

/// [`batch_norm`] with a tensor of the shape of `x` added, as a residual block does, and a rectifier behind it, in the
/// same pass.
///
/// # Errors
/// Those of [`batch_norm`], and when what is added has another shape.
pub fn batch_norm_then(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    eps: f64,
    add: Option<&Tensor>,
    relu: bool,
) -> Result<Normalized> {
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
    if let Some(add) = add
        && add.dims() != x.dims()
    {
        bail!(
            "batch_norm: {:?} cannot be added to x {:?}",
            add.shape(),
            x.shape()
        )
    }
    if !ours(&[x, weight, bias]) || add.is_some_and(|add| !ours(&[x, add])) {
        let mut normalized = portable::batch_norm(x, weight, bias, eps)?;
        if let Some(add) = add {
            normalized.y = (normalized.y + add)?;
        }
        if relu {
            normalized.y = portable::relu(&normalized.y)?;
        }
        return Ok(normalized);
    }
    let x = x.contiguous()?;
    let length = x.elem_count() / n / channels;
    let groups = Channels { channels, length };
    let moments = by_dtype!(x.dtype(), T => with::<T, _>(&x, |x| Ok(groups.moments(x)))?);
    let of = |which: fn(&Moments) -> f64| {
        let values: Vec<f64> = moments.iter().map(which).collect();
        Tensor::from_vec(values, channels, x.device())?.to_dtype(x.dtype())
    };
    let (mean, variance) = (of(|m| m.mean)?, of(|m| m.variance)?);
    let y = match add {
        Some(add) => {
            let op = NormAdd {
                channels: groups,
                moments,
                eps,
                relu,
            };
            // One tensor: an operation takes three.
            let both = Tensor::stack(&[weight, bias], 0)?;
            x.apply_op3(&both, &add.contiguous()?, op)?
        }
        None => {
            let norm = Norm {
                groups: Groups::Channels(groups),
                moments: Mutex::new(moments),
                eps,
                relu,
            };
            x.apply_op3(&weight.contiguous()?, &bias.contiguous()?, norm)?
        }
    };
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
    let norm = Norm {
        groups: Groups::Rows(Rows { width }),
        moments: Mutex::default(),
        eps,
        relu: false,
    };
    x.apply_op3(&weight.contiguous()?, &bias.contiguous()?, norm)
}

/// Normalizes each of `groups` groups of channels of each item of `x` (n, c, ..), then scales each channel by `weight`
/// (c) and adds `bias` (c).
///
/// # Errors
/// When the shapes do not fit, or the groups do not divide the channels.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let &[_, channels, ..] = x.dims() else {
        bail!("group_norm: expected x (n, c, ..), got {:?}", x.shape())
    };
    if weight.dims() != [channels] || bias.dims() != [channels] || x.elem_count() == 0 {
        bail!(
            "group_norm: weight {:?} and bias {:?} do not fit x {:?}",
            weight.shape(),
            bias.shape(),
            x.shape()
        )
    }
    if groups == 0 || !channels.is_multiple_of(groups) {
        bail!("group_norm: {groups} groups do not divide {channels} channels")
    }
    if !ours(&[x, weight, bias]) {
        return portable::group_norm(x, groups, weight, bias, eps);
    }
    let together = Together {
        groups,
        channels: channels / groups,
        length: x.dims()[2..].iter().product(),
    };
    let norm = Norm {
        groups: Groups::Together(together),
        moments: Mutex::default(),
        eps,
        relu: false,
    };
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, norm)
}

/// Mean and biased variance of the elements that are normalized together.
#[derive(Clone, Copy)]
struct Moments {
    mean: f64,
    variance: f64,
}

impl Moments {
    /// Those of one run of elements.
    fn of<T: Real>(run: &[T]) -> Self {
        let count = run.len() as f64;
        let mean = sums([run], |[x]| [x.wide()])[0] / count;
        let square = |x: T| (x.wide() - mean) * (x.wide() - mean);
        let variance = sums([run], |[x]| [square(x)])[0] / count;
        Self { mean, variance }
    }

    /// Mean, and 1 / deviation.
    fn scale<T: Real>(&self, eps: f64) -> (T, T) {
        let scale = 1.0 / (self.variance + eps).sqrt();
        (T::real(self.mean), T::real(scale))
    }
}

/// Which elements share a mean.
enum Groups {
    Channels(Channels),
    Together(Together),
    Rows(Rows),
}

struct Norm {
    groups: Groups,
    /// Of each group; those within an item from the forward pass.
    moments: Mutex<Vec<Moments>>,
    eps: f64,
    /// Of channels only.
    relu: bool,
}

impl Norm {
    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let mut moments = lock(&self.moments);
        let (y, of_each) = match self.groups {
            Groups::Channels(channels) => {
                let then = (None, self.relu);
                return channels.forward(x, (weight, bias), &moments, self.eps, then);
            }
            Groups::Together(groups) => groups.forward(x, (weight, bias), self.eps),
            Groups::Rows(rows) => rows.forward(x, (weight, bias), self.eps),
        };
        *moments = of_each;
        y
    }

    /// The gradients of x, weight and bias.
    fn backward<T: Real>(&self, all: (&[T], &[T], &[T])) -> [Vec<T>; 3] {
        let moments = lock(&self.moments);
        match self.groups {
            Groups::Channels(channels) => channels.backward(all, &moments, self.eps),
            Groups::Together(groups) => groups.backward(all, &moments, self.eps),
            Groups::Rows(rows) => rows.backward(all, &moments, self.eps),
        }
    }
}

impl CustomOp3 for Norm {
    fn name(&self) -> &'static str {
        match self.groups {
            Groups::Channels { .. } => "batch_norm",
            Groups::Together { .. } => "group_norm",
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
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => {
            let [dx, dweight, dbias] = with::<T, _>(x, |x| with(weight, |weight| with(dy, |dy| {
                if !self.relu {
                    return Ok(self.backward((x, weight, dy)));
                }
                let dy = with(y, |y| Ok(before_relu(y, dy)))?;
                Ok(self.backward((x, weight, &dy)))
            })))?;
            gradients(Some(dx), dweight, dbias, [x, weight, bias])
        })
    }
}

/// The gradient of what a rectifier takes, by what it gives and the gradient of that.
fn before_relu<T: Real>(y: &[T], dy: &[T]) -> Vec<T> {
    let mut before = vec![T::zero(); dy.len()];
    let shares = shares(dy.len(), 1);
    let parts = split(&mut before, 1, &shares);
    each(
        shares.into_iter().zip(parts).collect(),
        |(share, before)| {
            let to = |[y, dy]: [T; 2]| if y <= T::zero() { T::zero() } else { dy };
            map(before, [&y[share.clone()], &dy[share]], to);
        },
    );
    before
}

/// Batch norm of x by weight and bias in one tensor, plus a third one.
struct NormAdd {
    channels: Channels,
    moments: Vec<Moments>,
    eps: f64,
    relu: bool,
}

impl CustomOp3 for NormAdd {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        both: &CpuStorage,
        both_layout: &Layout,
        add: &CpuStorage,
        add_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let y = by_dtype!(dtype(x), T => {
            let (x, add) = (slice::<T>(x, x_layout)?, slice::<T>(add, add_layout)?);
            let both = slice::<T>(both, both_layout)?.split_at(self.moments.len());
            let then = (Some(add), self.relu);
            WithDType::to_cpu_storage_owned(
                self.channels.forward(x, both, &self.moments, self.eps, then),
            )
        });
        Ok((y, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        both: &Tensor,
        _add: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        by_dtype!(x.dtype(), T => {
            let dy = match self.relu {
                true => {
                    let before = with::<T, _>(y, |y| with(dy, |dy| Ok(before_relu(y, dy))))?;
                    Tensor::from_vec(before, x.shape(), x.device())?
                }
                false => dy.clone(),
            };
            let [dx, mut dboth, dbias] = with::<T, _>(x, |x| with(both, |both| with(&dy, |dy| {
                let weight = &both[..self.moments.len()];
                Ok(self.channels.backward((x, weight, dy), &self.moments, self.eps))
            })))?;
            dboth.extend(dbias);
            let dboth = Tensor::from_vec(dboth, both.shape(), x.device())?;
            Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), Some(dboth), Some(dy)))
        })
    }
}
