//! Losses as means over the batch: negative log-likelihood, cross entropy, squared and absolute error.

use super::log_softmax;
use candle_core::{DType, Result, Tensor, bail};

/// `nll_loss(log_softmax(logits), targets)`, for (n, classes) and n targets.
///
/// # Errors
/// Those of [`nll_loss`].
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    check("cross_entropy", logits, targets)?;
    pick(&log_softmax(logits, 1)?, targets)
}

/// The mean of `-log_probabilities[i][targets[i]]`, for (n, classes) and n targets.
///
/// # Errors
/// When the shapes do not fit, there are no targets, or one is none of the classes.
pub fn nll_loss(log_probabilities: &Tensor, targets: &Tensor) -> Result<Tensor> {
    check("nll_loss", log_probabilities, targets)?;
    pick(log_probabilities, targets)
}

/// The mean of the squared differences, of two tensors of one shape.
///
/// # Errors
/// When the shapes differ or there are no elements.
pub fn mse_loss(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    same_shape("mse_loss", x, target)?;
    (x - target)?.sqr()?.mean_all()
}

/// The mean of the absolute differences, of two tensors of one shape.
///
/// # Errors
/// When the shapes differ or there are no elements.
pub fn l1_loss(x: &Tensor, target: &Tensor) -> Result<Tensor> {
    same_shape("l1_loss", x, target)?;
    let difference = (x - target)?;
    // The sign has the gradient 0: so that of the whole is the sign, 0 where nothing differs. candle's `abs` has 1 there.
    let sign = difference.detach().sign()?;
    (difference * sign)?.mean_all()
}

fn same_shape(op: &str, x: &Tensor, target: &Tensor) -> Result<()> {
    if x.dims() != target.dims() || x.elem_count() == 0 {
        let (x, target) = (x.shape(), target.shape());
        bail!("{op}: the target {target:?} does not fit {x:?}")
    }
    Ok(())
}

fn pick(log_probabilities: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let targets = targets.to_dtype(DType::U32)?.unsqueeze(1)?.contiguous()?;
    log_probabilities
        .contiguous()?
        .gather(&targets, 1)?
        .mean_all()?
        .neg()
}

/// Refuses what candle would answer with an index without a name, or with NaN.
fn check(op: &str, x: &Tensor, targets: &Tensor) -> Result<()> {
    let (&[n, classes], &[m]) = (x.dims(), targets.dims()) else {
        bail!(
            "{op}: expected (n, classes) and targets (n), got {:?} and {:?}",
            x.shape(),
            targets.shape()
        )
    };
    if n != m || n == 0 || classes == 0 {
        bail!("{op}: {m} targets do not fit scores of {:?}", x.shape())
    }
    if !targets.dtype().is_int() {
        bail!(
            "{op}: targets are class numbers (u32 or i64), got {:?}",
            targets.dtype()
        )
    }
    let targets = targets.to_dtype(DType::I64)?;
    let (least, most) = (targets.min(0)?, targets.max(0)?);
    for target in [least.to_scalar::<i64>()?, most.to_scalar::<i64>()?] {
        if target < 0 || target >= classes as i64 {
            bail!(
                "{op}: target {target} is none of the {classes} classes of {:?}",
                x.shape()
            )
        }
    }
    Ok(())
}
