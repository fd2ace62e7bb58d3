//! Transposed convolution: the way back of a convolution as the way there.

use super::conv2d::{Flat, Geometry, gradients};
use super::{ours, portable, window::Windows};
use crate::cpu::{Real, by_dtype, dtype, fill, slice, sums, with};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};

/// Stride, padding, output padding, dilation and groups, as in `torch.nn.functional.conv_transpose2d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2dConfig {
    pub stride: usize,
    /// What the convolution whose way back this is would add on each side: lines and columns that are left out.
    pub padding: usize,
    /// Lines and columns more at the end of the result; fewer than the stride.
    pub output_padding: usize,
    pub dilation: usize,
    pub groups: usize,
}

impl Default for ConvTranspose2dConfig {
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            output_padding: 0,
            dilation: 1,
            groups: 1,
        }
    }
}

/// `x` (n, c, h, w) by `weight` (c, o / groups, kh, kw), plus `bias` (o): (n, o, .., ..), of the height
/// `(h - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1`.
///
/// # Errors
/// When shapes or element types do not fit, nothing would be left of the result, or the output padding is not below the
/// stride.
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &ConvTranspose2dConfig,
) -> Result<Tensor> {
    let geometry = geometry(x.shape(), weight.shape(), bias.map(Tensor::shape), config)?;
    if !ours(&[x, weight]) {
        return portable::conv_transpose2d(x, weight, bias, config);
    }
    let bias = match bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(out(&geometry), x.dtype(), x.device())?,
    };
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias, ConvTranspose2d { geometry })
}

/// The convolution whose way back it is: what that takes is the result here.
fn geometry(
    x: &Shape,
    weight: &Shape,
    bias: Option<&Shape>,
    config: &ConvTranspose2dConfig,
) -> Result<Geometry> {
    let ConvTranspose2dConfig {
        stride,
        padding,
        output_padding,
        dilation,
        groups,
    } = *config;
    let (&[n, channels, height, width], &[inner, out, kh, kw]) = (x.dims(), weight.dims()) else {
        bail!(
            "conv_transpose2d: expected x (n, c, h, w) and weight (c, o/groups, kh, kw), got {x:?} and {weight:?}"
        )
    };
    if groups == 0 || inner == 0 || inner != channels || inner % groups != 0 {
        bail!("conv_transpose2d: weight {weight:?} in {groups} groups does not fit x {x:?}")
    }
    if let Some(bias) = bias
        && bias.dims() != [out * groups]
    {
        bail!(
            "conv_transpose2d: expected a bias of [{}] for weight {weight:?}, got {bias:?}",
            out * groups
        )
    }
    if output_padding >= stride {
        bail!("conv_transpose2d: output padding {output_padding} is not below stride {stride}")
    }
    let size = |size: usize, kernel: usize| {
        let whole = size.checked_sub(1)? * stride + dilation * kernel.checked_sub(1)? + 1;
        (whole + output_padding).checked_sub(2 * padding)
    };
    let (Some(out_height), Some(out_width)) = (size(height, kh), size(width, kw)) else {
        bail!("conv_transpose2d: nothing is left of x {x:?} by weight {weight:?} and {config:?}")
    };
    let windows = Windows {
        channels: out,
        size: [out_height, out_width],
        kernel: [kh, kw],
        stride,
        padding: [padding; 2],
        dilation,
    };
    windows.check("conv_transpose2d", x)?;
    Ok(Geometry {
        n,
        out: inner,
        groups,
        windows,
    })
}

/// Channels of the result.
fn out(geometry: &Geometry) -> usize {
    geometry.groups * geometry.windows.channels
}

struct ConvTranspose2d {
    geometry: Geometry,
}

impl ConvTranspose2d {
    /// The elements of one channel of the result.
    fn area(&self) -> usize {
        self.geometry.windows.size.iter().product()
    }

    fn forward<T: Real>(&self, x: &[T], weight: &[T], bias: &[T]) -> Vec<T> {
        let mut y = Flat::new(&self.geometry).to_x(weight, x);
        fill(&mut y, self.area(), self.area(), |plane, y| {
            let bias = bias[plane % bias.len()];
            y.iter_mut().for_each(|y| *y += bias);
        });
        y
    }

    /// The gradients of x (empty where not wanted), weight and bias.
    fn backward<T: Real>(&self, (x, weight, dy): (&[T], &[T], &[T]), want_dx: bool) -> [Vec<T>; 3] {
        let (flat, channels) = (Flat::new(&self.geometry), out(&self.geometry));
        let none = vec![T::zero(); self.geometry.out];
        let dx = match want_dx {
            true => flat.forward(dy, weight, &none),
            false => Vec::new(),
        };
        let [_, dweight, _] = flat.backward((dy, weight, x), false);
        let of_channel = |channel: usize| {
            let planes = dy.chunks(self.area()).skip(channel).step_by(channels);
            let total: f64 = planes.map(|dy| sums([dy], |[dy]| [dy.wide()])[0]).sum();
            T::real(total)
        };
        [dx, dweight, (0..channels).map(of_channel).collect()]
    }

    fn shape(&self) -> Shape {
        let [height, width] = self.geometry.windows.size;
        Shape::from((self.geometry.n, out(&self.geometry), height, width))
    }
}

impl CustomOp3 for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
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
        Ok((y, self.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let want_dx = x.track_op();
        by_dtype!(x.dtype(), T => {
            let [dx, dweight, dbias] = with::<T, _>(x, |x| with(weight, |weight| with(dy, |dy| {
                Ok(self.backward((x, weight, dy), want_dx))
            })))?;
            gradients(want_dx.then_some(dx), dweight, dbias, [x, weight, bias])
        })
    }
}
