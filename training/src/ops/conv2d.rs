//! 2-d convolution as matrix products over unrolled windows (im2col), forward and backward.

use super::{ours, portable, window::Windows};
use crate::cpu::{Matrix, Real, add, by_dtype, each, multiply, shares, slice, split, sum, with};
use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

/// Stride, padding, dilation and groups, as in `torch.nn.functional.conv2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dConfig {
    pub stride: usize,
    pub padding: usize,
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

/// Convolves `x` (n, c, h, w) with `weight` (o, c / groups, kh, kw) and adds `bias` (o).
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
        let Conv2dConfig {
            stride,
            padding,
            dilation,
            groups,
        } = *config;
        let (&[n, channels, height, width], &[out, inner, kh, kw]) = (x.dims(), weight.dims())
        else {
            bail!(
                "conv2d: expected x (n, c, h, w) and weight (o, c/groups, kh, kw), got {x:?} and {weight:?}"
            )
        };
        if groups == 0 || out == 0 || out % groups != 0 || inner == 0 || inner * groups != channels
        {
            bail!("conv2d: weight {weight:?} in {groups} groups does not fit x {x:?}")
        }
        if let Some(bias) = bias
            && bias.dims() != [out]
        {
            bail!("conv2d: expected a bias of [{out}] for weight {weight:?}, got {bias:?}")
        }
        let windows = Windows {
            channels: inner,
            size: [height, width],
            kernel: [kh, kw],
            stride,
            padding,
            dilation,
        };
        windows.check("conv2d", x)?;
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

    /// One picture, with `add` added to what `y` holds; `unrolled` is scratch.
    pub fn forward<T: Real>(
        &self,
        x: &[T],
        weight: &[T],
        add: bool,
        unrolled: &mut [T],
        y: &mut [T],
    ) {
        let (rows, places) = self.unrolled();
        let out = self.out / self.groups;
        for group in 0..self.groups {
            self.windows
                .unroll(&x[group * self.windows.len()..], unrolled);
            multiply(
                [out, rows, places],
                Matrix::rows(&weight[group * out * rows..][..out * rows], rows),
                Matrix::rows(unrolled, places),
                add,
                &mut y[group * out * places..][..out * places],
            );
        }
    }

    /// The gradients of one picture, added to `dweight` and, where wanted, to `dx`.
    pub fn backward<T: Real>(
        &self,
        (x, weight, dy): (&[T], &[T], &[T]),
        unrolled: &mut [T],
        dweight: &mut [T],
        mut dx: Option<&mut [T]>,
    ) {
        let (rows, places) = self.unrolled();
        let out = self.out / self.groups;
        for group in 0..self.groups {
            let channels = group * self.windows.len();
            let dy = &dy[group * out * places..][..out * places];
            let kernel = group * out * rows..(group + 1) * out * rows;
            self.windows.unroll(&x[channels..], unrolled);
            multiply(
                [out, places, rows],
                Matrix::rows(dy, places),
                Matrix::transposed(unrolled, places),
                true,
                &mut dweight[kernel.clone()],
            );
            if let Some(dx) = dx.as_deref_mut() {
                multiply(
                    [rows, out, places],
                    Matrix::transposed(&weight[kernel], rows),
                    Matrix::rows(dy, places),
                    false,
                    unrolled,
                );
                self.windows.roll(unrolled, &mut dx[channels..]);
            }
        }
    }
}

struct Conv2d {
    geometry: Geometry,
}

impl Conv2d {
    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let geometry = &self.geometry;
        let (rows, places) = geometry.unrolled();
        let shares = shares(geometry.n, geometry.work());
        let mut y = vec![T::zero(); geometry.n * geometry.output_len()];
        let parts = split(&mut y, geometry.output_len(), &shares);
        each(shares.iter().cloned().zip(parts).collect(), |(share, y)| {
            let mut unrolled = vec![T::zero(); rows * places];
            for (picture, y) in share.zip(y.chunks_mut(geometry.output_len())) {
                for (plane, bias) in y.chunks_mut(places).zip(bias) {
                    plane.fill(*bias);
                }
                let x = &x[picture * geometry.input_len()..][..geometry.input_len()];
                geometry.forward(x, weight, true, &mut unrolled, y);
            }
        });
        y
    }

    /// The gradients of x (empty where not wanted), weight and bias.
    fn backward<T: Real>(&self, (x, weight, dy): (&[T], &[T], &[T]), want_dx: bool) -> [Vec<T>; 3] {
        let geometry = &self.geometry;
        let (rows, places) = geometry.unrolled();
        let (input, output) = (geometry.input_len(), geometry.output_len());
        let shares = shares(geometry.n, geometry.work());
        let mut dx = vec![T::zero(); if want_dx { geometry.n * input } else { 0 }];
        let parts = split(&mut dx, if want_dx { input } else { 0 }, &shares);
        let sums = each(
            shares.iter().cloned().zip(parts).collect(),
            |(share, dx)| {
                let mut sums = vec![T::zero(); geometry.weight_len() + geometry.out];
                let (dweight, dbias) = sums.split_at_mut(geometry.weight_len());
                let mut unrolled = vec![T::zero(); rows * places];
                for (at, picture) in share.enumerate() {
                    let dy = &dy[picture * output..][..output];
                    let dx = want_dx.then(|| &mut dx[at * input..][..input]);
                    let x = &x[picture * input..][..input];
                    geometry.backward((x, weight, dy), &mut unrolled, dweight, dx);
                    let planes: Vec<T> =
                        dy.chunks(places).map(|p| p.iter().copied().sum()).collect();
                    add(dbias, &planes);
                }
                sums
            },
        );
        let mut dweight = sum(sums, geometry.weight_len() + geometry.out);
        let dbias = dweight.split_off(geometry.weight_len());
        [dx, dweight, dbias]
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
    Ok((dx, Some(dweight), Some(dbias)))
}

/// The element type of a storage.
pub(super) fn dtype(storage: &CpuStorage) -> DType {
    candle_core::backend::BackendStorage::dtype(storage)
}
