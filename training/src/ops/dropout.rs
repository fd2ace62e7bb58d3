//! Dropout of elements and of whole channels: the rest grows by 1 / (1 - p), so that the mean stays.

use crate::random::Random;
use candle_core::{Result, Shape, Tensor, bail};

/// Drops elements of `x` with probability `p`.
///
/// # Errors
/// When `p` is no probability.
pub fn dropout(x: &Tensor, p: f64, random: &mut Random) -> Result<Tensor> {
    drop_groups(x, x.shape().clone(), p, random)
}

/// Drops whole channels of `x` (n, c, h, w) with probability `p`.
///
/// # Errors
/// When `p` is no probability or `x` has another rank.
pub fn dropout2d(x: &Tensor, p: f64, random: &mut Random) -> Result<Tensor> {
    let &[n, c, _, _] = x.dims() else {
        bail!("dropout2d: expected x (n, c, h, w), got {:?}", x.shape())
    };
    drop_groups(x, Shape::from((n, c, 1, 1)), p, random)
}

fn drop_groups(x: &Tensor, groups: Shape, p: f64, random: &mut Random) -> Result<Tensor> {
    let mask = mask(groups.elem_count(), p, random)?;
    let mask = Tensor::from_vec(mask, groups, x.device())?.to_dtype(x.dtype())?;
    x.broadcast_mul(&mask)
}

/// One factor for each of `len` elements: 0 with probability `p`, else 1 / (1 - p).
///
/// # Errors
/// When `p` is no probability.
pub fn mask(len: usize, p: f64, random: &mut Random) -> Result<Vec<f32>> {
    if !(0.0..=1.0).contains(&p) {
        bail!("dropout: a probability lies in 0..=1, got {p}")
    }
    let keep = (1.0 / (1.0 - p)) as f32;
    Ok((0..len)
        .map(|_| if random.uniform() < p { 0.0 } else { keep })
        .collect())
}
