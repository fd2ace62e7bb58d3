//! Optimizers that change parameters in place, on every device; formulas and defaults are those of `torch.optim`.

mod adam;
pub(crate) mod gradients;
mod schedule;
mod sgd;
mod update;

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var, bail};

pub use adam::{Adam, AdamW};
pub use schedule::Schedule;
pub use sgd::Sgd;

/// Changes parameters by their gradients.
pub trait Optimizer: Send {
    /// One step. Parameters without a gradient stay as they are.
    ///
    /// # Errors
    /// When a gradient does not fit its parameter.
    fn step(&mut self, gradients: &GradStore) -> Result<()>;

    fn parameters(&self) -> &[Var];

    fn learning_rate(&self) -> f64;

    fn set_learning_rate(&mut self, rate: f64);

    /// What the optimizer remembers between steps.
    ///
    /// # Errors
    /// When the device is lost.
    fn state(&self) -> Result<BTreeMap<String, Tensor>>;

    /// Sets what the optimizer remembers, of [`Self::state`].
    ///
    /// # Errors
    /// When the state is that of another optimizer or network.
    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()>;
}

/// Scales the gradients of `parameters` down so that their common norm is at most `most`; gives back the norm before.
/// The factor is that of `torch.nn.utils.clip_grad_norm_`, `most / (norm + 1e-6)`; a norm that is not a number makes all
/// gradients so.
///
/// # Errors
/// When the device is lost.
pub fn clip_grad_norm(gradients: &mut GradStore, parameters: &[Var], most: f64) -> Result<f64> {
    let mut squares = 0.0;
    for gradient in parameters.iter().filter_map(|var| gradients.get(var)) {
        let total = gradient.sqr()?.sum_all()?.to_dtype(DType::F64)?;
        squares += total.to_scalar::<f64>()?;
    }
    let norm = squares.sqrt();
    let factor = most / (norm + 1e-6);
    if factor < 1.0 || factor.is_nan() {
        for var in parameters {
            if let Some(gradient) = gradients.get(var) {
                let scaled = (gradient * factor)?;
                gradients.insert(var, scaled);
            }
        }
    }
    Ok(norm)
}

/// A tensor of an optimizer for each parameter, all zeros at first.
struct Slots {
    name: &'static str,
    vars: Vec<Var>,
}

impl Slots {
    fn new(name: &'static str, parameters: &[Var]) -> Result<Self> {
        let zeros = |var: &Var| Var::zeros(var.shape(), var.dtype(), var.device());
        let vars = parameters.iter().map(zeros).collect::<Result<_>>()?;
        Ok(Self { name, vars })
    }

    fn save(&self, state: &mut BTreeMap<String, Tensor>) -> Result<()> {
        for (at, var) in self.vars.iter().enumerate() {
            state.insert(format!("{}.{at}", self.name), var.as_tensor().copy()?);
        }
        Ok(())
    }

    fn load(&self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        for (at, var) in self.vars.iter().enumerate() {
            let name = format!("{}.{at}", self.name);
            match state.get(&name) {
                Some(value) if value.dims() == var.dims() => {
                    var.set(&value.to_device(var.device())?.to_dtype(var.dtype())?)?;
                }
                Some(value) => bail!(
                    "{name} has the shape {:?} in the state, but {:?} in the optimizer",
                    value.shape(),
                    var.shape()
                ),
                None => bail!("the optimizer's state has no {name}: it is another optimizer's"),
            }
        }
        Ok(())
    }
}

/// The number of steps, as a tensor: it does not fit into an f32.
fn save_steps(steps: u64, state: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let steps = Tensor::new(steps as i64, &candle_core::Device::Cpu)?;
    state.insert("steps".to_owned(), steps);
    Ok(())
}

fn load_steps(state: &BTreeMap<String, Tensor>) -> Result<u64> {
    match state.get("steps") {
        Some(steps) => Ok(steps.to_scalar::<i64>()?.max(0) as u64),
        None => bail!("the optimizer's state has no steps: it is another optimizer's"),
    }
}

/// The number of steps of each parameter.
fn save_all_steps(steps: &[u64], state: &mut BTreeMap<String, Tensor>) -> Result<()> {
    for (at, steps) in steps.iter().enumerate() {
        let steps = Tensor::new(*steps as i64, &candle_core::Device::Cpu)?;
        state.insert(format!("steps.{at}"), steps);
    }
    Ok(())
}

/// Those of `count` parameters; a state of an older version has one number for all of them.
fn load_all_steps(count: usize, state: &BTreeMap<String, Tensor>) -> Result<Vec<u64>> {
    let of = |at| match state.get(&format!("steps.{at}")) {
        Some(steps) => Ok(steps.to_scalar::<i64>()?.max(0) as u64),
        None => load_steps(state),
    };
    (0..count).map(of).collect()
}
