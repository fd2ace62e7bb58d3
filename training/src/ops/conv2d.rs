//! Convolutions over one and two dimensions, forward and backward.

mod flat;
mod unrolled;

use super::{early, ours, portable, window::Windows};
use crate::cpu::{Real, by_dtype, dtype, slice, with};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
pub(super) use flat::Flat;

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
}

struct Conv2d {
    geometry: Geometry,
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
                Flat::new(&self.geometry).forward(x, weight, slice::<T>(bias, bias_layout)?),
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
                Ok(Flat::new(&self.geometry).backward((x, weight, dy), want_dx))
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
