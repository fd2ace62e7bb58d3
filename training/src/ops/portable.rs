//! The same operations from candle's own, for every device and type (it has no backward pass for some strided convolutions).
//! Shapes are those of the operations in [`super`]; what does not fit is refused in candle's words.

use super::{
    Cell, Conv2dConfig, ConvTranspose2dConfig, Normalized, Pool2dConfig, Then, pool2d::windows,
    window::Windows,
};
use candle_core::{D, Result, Tensor};
use std::f64::consts::FRAC_1_SQRT_2;

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
    with_bias(y, bias)
}

/// With one number added to each channel of (n, c, h, w).
fn with_bias(y: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

/// Group by group, for which candle has no such operation.
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    config: &ConvTranspose2dConfig,
) -> Result<Tensor> {
    let ConvTranspose2dConfig {
        stride,
        padding,
        output_padding,
        dilation,
        groups,
    } = *config;
    let (x, weight) = (x.chunk(groups, 1)?, weight.chunk(groups, 0)?);
    let groups = x.iter().zip(&weight).map(|(x, weight)| {
        x.contiguous()?.conv_transpose2d(
            &weight.contiguous()?,
            padding,
            output_padding,
            stride,
            dilation,
        )
    });
    let y = Tensor::cat(&groups.collect::<Result<Vec<_>>>()?, 1)?;
    with_bias(y, bias)
}

/// By argmax and gather: the gradient of candle's own `max_pool2d` is wrong (0.11.1, on every device).
pub fn max_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    max_windows(x, &windows("max_pool2d", x.shape(), config)?)
}

pub(super) fn max_windows(x: &Tensor, windows: &Windows) -> Result<Tensor> {
    let (n, c, height, width) = x.dims4()?;
    // A window beyond the edge repeats an element inside of it, which never changes the maximum.
    let inside = |axis: usize, at: usize, k: usize| {
        let padding = windows.padding[axis];
        let first = (at * windows.stride).saturating_sub(padding);
        (at * windows.stride + k)
            .saturating_sub(padding)
            .clamp(first, windows.size[axis] - 1)
    };
    let places = places(windows, width, x, inside)?;
    let planes = x.contiguous()?.reshape((n * c, height * width))?;
    let [out_height, out_width] = windows.output();
    let size = windows.kernel[0] * windows.kernel[1];
    let cut = planes
        .index_select(&places, 1)?
        .reshape((n * c, windows.places(), size))?;
    let winners = nan_as_infinity(&cut.detach())?.argmax_keepdim(D::Minus1)?;
    cut.gather(&winners, 2)?
        .reshape((n, c, out_height, out_width))
}

/// The place in its plane, of lines of `width`, of each element of each window.
fn places(
    windows: &Windows,
    width: usize,
    x: &Tensor,
    place: impl Fn(usize, usize, usize) -> usize,
) -> Result<Tensor> {
    let [_, out_width] = windows.output();
    let [kernel_height, kernel_width] = windows.kernel;
    let mut places = Vec::with_capacity(windows.places() * kernel_height * kernel_width);
    for at in 0..windows.places() {
        for k in 0..kernel_height * kernel_width {
            let row = place(0, at / out_width, k / kernel_width);
            places.push((row * width + place(1, at % out_width, k % kernel_width)) as u32);
        }
    }
    Tensor::new(places, x.device())
}

/// The elements, with infinity where one is not a number: candle's argmax passes over it, PyTorch's gives its place.
pub(crate) fn nan_as_infinity(x: &Tensor) -> Result<Tensor> {
    let infinity = x.ones_like()?.affine(f64::INFINITY, 0.0)?;
    x.ne(x)?.where_cond(&infinity, x)
}

/// By a choice: candle's own `relu` makes 0 of what is not a number, and has the gradient 1 at 0.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    let zeros = x.zeros_like()?;
    x.le(&zeros)?.where_cond(&zeros, x)
}

/// By the error function: the gradient of candle's own `gelu_erf` has a constant of six digits.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let below = ((x * FRAC_1_SQRT_2)?.erf()? + 1.0)?;
    (x * 0.5)? * below
}

/// By a choice of elements and a mean: the gradient of candle's own `avg_pool2d` is wrong where windows leave a rest.
pub fn avg_pool2d(x: &Tensor, config: &Pool2dConfig) -> Result<Tensor> {
    mean_windows(x, &windows("avg_pool2d", x.shape(), config)?)
}

pub(super) fn mean_windows(x: &Tensor, windows: &Windows) -> Result<Tensor> {
    let [above, beside] = windows.padding;
    let x = x.pad_with_zeros(2, above, above)?;
    let x = x.pad_with_zeros(3, beside, beside)?;
    let (n, c, height, width) = x.dims4()?;
    let places = places(windows, width, &x, |_, at, k| at * windows.stride + k)?;
    let [out_height, out_width] = windows.output();
    let size = windows.kernel[0] * windows.kernel[1];
    x.reshape((n * c, height * width))?
        .index_select(&places, 1)?
        .reshape((n * c, windows.places(), size))?
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

/// With all weights at once.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Result<Tensor> {
    // (n, heads, rows, width)
    let apart = |x: &Tensor| {
        let (n, rows, width) = x.dims3()?;
        x.reshape((n, rows, heads, width / heads))?
            .transpose(1, 2)?
            .contiguous()
    };
    let (q, k, v) = (apart(q)?, apart(k)?, apart(v)?);
    let (n, _, queries, width) = q.dims4()?;
    let scale = 1.0 / (width as f64).sqrt();
    let mut scores = (q.matmul(&k.t()?.contiguous()?)? * scale)?;
    if causal {
        let keys = k.dim(2)?;
        let seen = |at: usize| u8::from(at % keys <= at / keys);
        let seen: Vec<u8> = (0..queries * keys).map(seen).collect();
        let seen = Tensor::from_vec(seen, (queries, keys), q.device())?;
        let none = scores.zeros_like()?.affine(0.0, f64::NEG_INFINITY)?;
        scores = seen
            .broadcast_as(scores.shape())?
            .where_cond(&scores, &none)?;
    }
    let y = softmax(&scores, 3)?.matmul(&v)?;
    y.transpose(1, 2)?.contiguous()?.reshape((n, queries, ()))
}

/// Step by step.
pub fn recurrent(
    cell: Cell,
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    state: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (length, width) = (x.dim(1)?, weight.dim(1)?);
    let by = weight.t()?.contiguous()?;
    let (mut h, mut rest) = (state.get_on_dim(1, 0)?, None);
    if cell == Cell::Lstm {
        rest = Some(state.get_on_dim(1, 1)?);
    }
    let sigmoid = candle_nn::ops::sigmoid;
    let mut outputs = Vec::with_capacity(length);
    for step in 0..length {
        let x = x.get_on_dim(1, step)?;
        let sums = h.contiguous()?.matmul(&by)?.broadcast_add(bias)?;
        let gate = |of: &Tensor, at: usize| of.narrow(1, at * width, width);
        let both = |at: usize| gate(&x, at)? + gate(&sums, at)?;
        if let Some(c) = &mut rest {
            let kept = (sigmoid(&both(1)?)? * &*c)?;
            *c = (kept + (sigmoid(&both(0)?)? * both(2)?.tanh()?)?)?;
            h = (sigmoid(&both(3)?)? * c.tanh()?)?;
        } else {
            let (reset, update) = (sigmoid(&both(0)?)?, sigmoid(&both(1)?)?);
            let new = (gate(&x, 2)? + (reset * gate(&sums, 2)?)?)?.tanh()?;
            h = (&new + (update * (h - &new)?)?)?;
        }
        outputs.push(h.clone());
    }
    let last: Vec<Tensor> = [h].into_iter().chain(rest).collect();
    Ok((Tensor::stack(&outputs, 1)?, Tensor::stack(&last, 1)?))
}

pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let (n, channels) = (x.dim(0)?, x.dim(1)?);
    let rows = x.contiguous()?.reshape((n * groups, ()))?;
    let centred = rows.broadcast_sub(&rows.mean_keepdim(1)?)?;
    let variance = centred.sqr()?.mean_keepdim(1)?;
    centred
        .broadcast_div(&(variance + eps)?.sqrt()?)?
        .reshape((n, channels, ()))?
        .broadcast_mul(&weight.reshape((1, channels, 1))?)?
        .broadcast_add(&bias.reshape((1, channels, 1))?)?
        .reshape(x.shape())
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
        y = relu(&y)?;
    }
    match &then.mask {
        Some(mask) => y.mul(&Tensor::from_slice(mask, y.shape(), y.device())?.to_dtype(y.dtype())?),
        None => Ok(y),
    }
}

pub fn log_softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    candle_nn::ops::log_softmax(x, dim)
}

pub fn softmax(x: &Tensor, dim: usize) -> Result<Tensor> {
    candle_nn::ops::softmax(x, dim)
}
