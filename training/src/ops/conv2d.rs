//! Convolutions over one and two dimensions as matrix products over unrolled windows (im2col), forward and backward.

use super::{early, ours, portable, window::Windows};
use crate::cpu::{Matrix, Real, by_dtype, dtype, each, multiply, shares, slice, split, sum, with};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

/// Stride, padding, dilation and groups, as in `torch.nn.functional.conv2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    pub stride: usize,
    /// Zeros on each side of the height and of the width.
    pub padding: usize,
    /// The way from one element of the kernel to the next.
    pub dilation: usize,
    pub groups: usize,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
        }
    }
}

/// The same for one dimension.
pub type Conv1dConfig = Conv2dConfig;

/// Convolves `x` (n, c, h, w) with `weight` (o, c / groups, kh, kw) and adds `bias` (o).
///
/// # Errors
/// When shapes or element types do not fit, or the kernel is larger than `x` with its padding.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &Conv2dConfig,
) -> Result<Tensor> {
    let geometry = Geometry::new(x.shape(), weight.shape(), bias.map(Tensor::shape), config)?;
    if !ours(&[x, weight]) {
        return portable::conv2d(x, weight, bias, config);
    }
    convolve(x, weight, bias, geometry)
}

/// Convolves `x` (n, c, l) with `weight` (o, c / groups, k) and adds `bias` (o). By the same steps as [`conv2d`], over
/// pictures of one line: the gradients of candle's own `conv1d` are wrong.
///
/// # Errors
/// Those of [`conv2d`].
pub fn conv1d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &Conv1dConfig,
) -> Result<Tensor> {
    if x.rank() != 3 || weight.rank() != 3 {
        bail!(
            "conv1d: expected x (n, c, l) and weight (o, c/groups, k), got {:?} and {:?}",
            x.shape(),
            weight.shape()
        )
    }
    let (lines, kernel) = (x.unsqueeze(2)?, weight.unsqueeze(2)?);
    let mut geometry = Geometry::of(
        "conv1d",
        lines.shape(),
        kernel.shape(),
        bias.map(Tensor::shape),
        config,
    )?;
    geometry.windows.padding[0] = 0;
    geometry.windows.check("conv1d", x.shape())?;
    if !ours(&[x, weight]) {
        let lines = lines.pad_with_zeros(3, config.padding, config.padding)?;
        let padded = Conv1dConfig {
            padding: 0,
            ..*config
        };
        return portable::conv2d(&lines, &kernel, bias, &padded)?.squeeze(2);
    }
    convolve(&lines, &kernel, bias, geometry)?.squeeze(2)
}

fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    geometry: Geometry,
) -> Result<Tensor> {
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(geometry.out, x.dtype(), x.device())?,
    };
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias, Conv2d { geometry })
}

/// The sizes of one convolution.
#[derive(Clone, Debug)]
pub(super) struct Geometry {
    pub n: usize,
    pub out: usize,
    pub groups: usize,
    /// How the channels of one group are cut into windows.
    pub windows: Windows,
}

impl Geometry {
    pub fn new(
        x: &Shape,
        weight: &Shape,
        bias: Option<&Shape>,
        config: &Conv2dConfig,
    ) -> Result<Self> {
        Self::of("conv2d", x, weight, bias, config)
    }

    /// For `op`, which messages name.
    fn of(
        op: &str,
        x: &Shape,
        weight: &Shape,
        bias: Option<&Shape>,
        config: &Conv2dConfig,
    ) -> Result<Self> {
        let Conv2dConfig {
            stride,
            padding,
            dilation,
            groups,
        } = *config;
        let (&[n, channels, height, width], &[out, inner, kh, kw]) = (x.dims(), weight.dims())
        else {
            bail!(
                "{op}: expected x (n, c, h, w) and weight (o, c/groups, kh, kw), got {x:?} and {weight:?}"
            )
        };
        if groups == 0 || out == 0 || out % groups != 0 || inner == 0 || inner * groups != channels
        {
            bail!("{op}: weight {weight:?} in {groups} groups does not fit x {x:?}")
        }
        if let Some(bias) = bias
            && bias.dims() != [out]
        {
            bail!("{op}: expected a bias of [{out}] for weight {weight:?}, got {bias:?}")
        }
        let windows = Windows {
            channels: inner,
            size: [height, width],
            kernel: [kh, kw],
            stride,
            padding: [padding; 2],
            dilation,
        };
        windows.check(op, x)?;
        Ok(Self {
            n,
            out,
            groups,
            windows,
        })
    }

    /// Rows and columns of one group's unrolled windows.
    pub fn unrolled(&self) -> (usize, usize) {
        (self.windows.rows(), self.windows.places())
    }

    pub fn input_len(&self) -> usize {
        self.groups * self.windows.len()
    }

    pub fn output_len(&self) -> usize {
        self.out * self.windows.places()
    }

    pub fn weight_len(&self) -> usize {
        self.out * self.windows.rows()
    }

    /// Elementary steps per picture: what decides over threads.
    pub fn work(&self) -> usize {
        self.out * self.windows.rows() * self.windows.places()
    }

    pub fn output_shape(&self) -> Shape {
        let [height, width] = self.windows.output();
        Shape::from((self.n, self.out, height, width))
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
pub(super) struct Scratch<T> {
    unrolled: Vec<T>,
    /// For each output channel the places of one picture after the other.
    pub planes: Vec<T>,
}

struct Conv2d {
    geometry: Geometry,
}

impl Conv2d {
    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let geometry = &self.geometry;
        let (input, output) = (geometry.input_len(), geometry.output_len());
        let (places, at_once) = (geometry.windows.places(), geometry.at_once());
        let shares = shares(geometry.n, geometry.work());
        let mut y = vec![T::zero(); geometry.n * output];
        let parts = split(&mut y, output, &shares);
        each(shares.iter().cloned().zip(parts).collect(), |(share, y)| {
            let mut scratch = geometry.scratch();
            let x = x[share.start * input..share.end * input].chunks(at_once * input);
            for (x, y) in x.zip(y.chunks_mut(at_once * output)) {
                geometry.forward(x, weight, &mut scratch);
                let pitch = x.len() / input * places;
                for (picture, y) in y.chunks_mut(output).enumerate() {
                    for (channel, y) in y.chunks_mut(places).enumerate() {
                        let plane = &scratch.planes[channel * pitch + picture * places..];
                        for (y, plane) in y.iter_mut().zip(plane) {
                            *y = *plane + bias[channel];
                        }
                    }
                }
            }
        });
        y
    }

    /// The gradients of x (empty where not wanted), weight and bias.
    fn backward<T: Real>(&self, (x, weight, dy): (&[T], &[T], &[T]), want_dx: bool) -> [Vec<T>; 3] {
        let geometry = &self.geometry;
        let (output, places) = (geometry.output_len(), geometry.windows.places());
        geometry.backward_all((x, weight), want_dx, |picture, count, planes, dbias| {
            let pitch = count * places;
            for at in 0..count {
                let dy = &dy[(picture + at) * output..][..output];
                for (channel, dy) in dy.chunks(places).enumerate() {
                    planes[channel * pitch + at * places..][..places].copy_from_slice(dy);
                    dbias[channel] += dy.iter().copied().sum();
                }
            }
        })
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
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
            candle_core::WithDType::to_cpu_storage_owned(
                self.forward(x, weight, slice::<T>(bias, bias_layout)?),
            )
        });
        Ok((y, self.geometry.output_shape()))
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
            let want_dx = x.track_op();
            let [dx, dweight, dbias] = with::<T, _>(x, |x| with(weight, |weight| with(dy, |dy| {
                Ok(self.backward((x, weight, dy), want_dx))
            })))?;
            gradients(want_dx.then_some(dx), dweight, dbias, [x, weight, bias])
        })
    }
}

/// Three gradients as tensors of the shapes of what they belong to.
pub(super) fn gradients<T: Real>(
    dx: Option<Vec<T>>,
    dweight: Vec<T>,
    dbias: Vec<T>,
    [x, weight, bias]: [&Tensor; 3],
) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
    let dx = dx
        .map(|dx| Tensor::from_vec(dx, x.shape(), x.device()))
        .transpose()?;
    let dweight = Tensor::from_vec(dweight, weight.shape(), x.device())?;
    let dbias = Tensor::from_vec(dbias, bias.shape(), x.device())?;
    early::tell(weight, &dweight);
    early::tell(bias, &dbias);
    Ok((dx, Some(dweight), Some(dbias)))
}
