//! The same operations from candle's own, for every device and type (it has no backward pass for some strided convolutions).
//! Shapes are those of the operations in [`super`]; what does not fit is refused in candle's words.

use super::{Conv2dConfig, Normalized, Pool2dConfig, Then, pool2d::windows};
use candle_core::{D, Result, Tensor};

pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &Conv2dConfig,
) -> Result<Tensor> {
    let Conv2dConfig {
        stride,
        padding,
        dilation,
        groups,
    } = *config;
    let y = x.conv2d(weight, padding, stride, dilation, groups)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

/// By argmax and gather: the gradient of candle's own `max_pool2d` is wrong (0.11.1, on every device).
pub fn max_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    let windows = windows("max_pool2d", x.shape(), config)?;
    let (n, c, height, width) = x.dims4()?;
    let Pool2dConfig {
        kernel,
        stride,
        padding,
    } = *config;
    let [out_height, out_width] = windows.output();
    // A window beyond the edge repeats an element inside of it, which never changes the maximum.
    let inside = |at: usize, k: usize, size: usize| {
        let first = (at * stride).saturating_sub(padding);
        (at * stride + k)
            .saturating_sub(padding)
            .clamp(first, size - 1)
    };
    let mut places = Vec::with_capacity(windows.places() * kernel * kernel);
    for at in 0..windows.places() {
        for k in 0..kernel * kernel {
            let row = inside(at / out_width, k / kernel, height);
            places.push((row * width + inside(at % out_width, k % kernel, width)) as u32);
        }
    }
    let places = Tensor::new(places, x.device())?;
    let planes = x.contiguous()?.reshape((n * c, height * width))?;
    let cut =
        planes
            .index_select(&places, 1)?
            .reshape((n * c, windows.places(), kernel * kernel))?;
    let winners = cut.detach().argmax_keepdim(D::Minus1)?;
    cut.gather(&winners, 2)?
        .reshape((n, c, out_height, out_width))
}

/// By a choice of elements and a mean: the gradient of candle's own `avg_pool2d` is wrong where windows leave a rest.
pub fn avg_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    let windows = windows("avg_pool2d", x.shape(), config)?;
    let Pool2dConfig {
        kernel,
        stride,
        padding,
    } = *config;
    let [out_height, out_width] = windows.output();
    let x = x.pad_with_zeros(2, padding, padding)?;
    let x = x.pad_with_zeros(3, padding, padding)?;
    let (n, c, height, width) = x.dims4()?;
    let mut places = Vec::with_capacity(windows.places() * kernel * kernel);
    for at in 0..windows.places() {
        for k in 0..kernel * kernel {
            let row = at / out_width * stride + k / kernel;
            places.push((row * width + at % out_width * stride + k % kernel) as u32);
        }
    }
    x.reshape((n * c, height * width))?
        .index_select(&Tensor::new(places, x.device())?, 1)?
        .reshape((n * c, windows.places(), kernel * kernel))?
        .mean(2)?
        .reshape((n, c, out_height, out_width))
}

pub fn batch_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Normalized> {
    let channels = x.dim(1)?;
    // One row for each channel.
    let rows = x.transpose(0, 1)?.contiguous()?.reshape((channels, ()))?;
    let mean = rows.mean_keepdim(1)?;
    let centred = rows.broadcast_sub(&mean)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    let column = |t: &Tensor| t.reshape((channels, 1));
    let y = centred
        .broadcast_div(&(&variance + eps)?.sqrt()?)?
        .broadcast_mul(&column(weight)?)?
        .broadcast_add(&column(bias)?)?;
    let mut shape = x.dims().to_vec();
    shape.swap(0, 1);
    Ok(Normalized {
        y: y.reshape(shape)?.transpose(0, 1)?.contiguous()?,
        mean: mean.flatten_all()?.detach(),
        variance: variance.flatten_all()?.detach(),
    })
}

pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let rows = x.contiguous()?.reshape(((), weight.elem_count()))?;
    let centred = rows.broadcast_sub(&rows.mean_keepdim(1)?)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    centred
        .broadcast_div(&(variance + eps)?.sqrt()?)?
        .broadcast_mul(&weight.flatten_all()?)?
        .broadcast_add(&bias.flatten_all()?)?
        .reshape(x.shape())
}

pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, then: &Then) -> Result<Tensor> {
    let mut y = x.matmul(&weight.t()?)?;
    if let Some(bias) = bias {
        y = y.broadcast_add(bias)?;
    }
    if then.relu {
        y = y.relu()?;
    }
    match &then.mask {
        Some(mask) => y.mul(&Tensor::from_slice(mask, y.shape(), y.device())?.to_dtype(y.dtype())?),
        None => Ok(y),
    }
}

pub fn log_softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    candle_nn::ops::log_softmax(x, dim)
}
