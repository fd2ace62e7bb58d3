//! Gradients as numbers one after the other, as they travel between ranks, and back again.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var, bail};

use crate::cpu;

/// The gradients of some parameters, one after the other.
pub(crate) fn collect(
    gradients: &GradStore,
    parameters: &[Var],
    numbers: &[usize],
) -> Result<Vec<f32>> {
    let count = numbers
        .iter()
        .map(|number| parameters[*number].elem_count());
    let mut all = vec![0.0; count.sum()];
    let mut rest = all.as_mut_slice();
    for number in numbers {
        let parameter = &parameters[*number];
        let (own, after) = rest.split_at_mut(parameter.elem_count());
        // Where there is none, another rank's batch may have one.
        if let Some(gradient) = gradients.get(parameter) {
            copy(gradient, own)?;
        }
        rest = after;
    }
    Ok(all)
}

/// Its numbers in f32.
pub(crate) fn copy(gradient: &Tensor, to: &mut [f32]) -> Result<()> {
    let gradient = gradient.to_device(&Device::Cpu)?;
    cpu::with(&gradient.to_dtype(DType::F32)?, |values| {
        if values.len() != to.len() {
            bail!(
                "a gradient of {} numbers for a parameter of {}",
                values.len(),
                to.len()
            )
        }
        to.copy_from_slice(values);
        Ok(())
    })
}

/// For each parameter whether it has a gradient: 1 or 0. Optimizers leave those alone that have none on any rank, as on
/// one rank.
pub(crate) fn flags<'a>(
    gradients: &'a GradStore,
    parameters: &'a [Var],
) -> impl Iterator<Item = f32> + 'a {
    let has = |var: &Var| f32::from(u8::from(gradients.get(var).is_some()));
    parameters.iter().map(has)
}

/// Which parameters have a gradient on some rank, by the means of the flags, which come last.
pub(crate) fn used(means: &[f32], count: usize) -> Vec<bool> {
    let flags = &means[means.len().saturating_sub(count)..];
    flags.iter().map(|share| *share > 0.0).collect()
}

/// The inverse of [`collect`], of those parameters that have a gradient on some rank.
pub(crate) fn insert_used(
    gradients: &mut GradStore,
    parameters: &[Var],
    numbers: &[usize],
    mut values: &[f32],
    used: &[bool],
) -> Result<()> {
    for number in numbers {
        let parameter = &parameters[*number];
        let (own, after) = values.split_at(parameter.elem_count());
        if used.get(*number).copied().unwrap_or_default() {
            let mean = Tensor::from_slice(own, parameter.shape(), parameter.device())?;
            gradients.insert(parameter, mean.to_dtype(parameter.dtype())?);
        }
        values = after;
    }
    Ok(())
}
