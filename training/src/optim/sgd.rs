//! Stochastic gradient descent with momentum, Nesterov's form and weight decay.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use super::update::{Update, update_both};
use super::{Optimizer, Slots, load_steps, save_steps};

/// `v = momentum v + (g + decay p)`, `p = p - rate v`; Nesterov's form steps by `g + decay p + momentum v`. Without
/// momentum and decay, unless told otherwise.
pub struct Sgd {
    parameters: Vec<Var>,
    rate: f64,
    momentum: f64,
    weight_decay: f64,
    nesterov: bool,
    velocities: Slots,
    steps: u64,
}

impl Sgd {
    /// # Errors
    /// When the device has no memory for the velocities.
    pub fn new(parameters: Vec<Var>, learning_rate: f64) -> Result<Self> {
        Ok(Self {
            velocities: Slots::new("momentum", &parameters)?,
            parameters,
            rate: learning_rate,
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false,
            steps: 0,
        })
    }

    #[must_use]
    pub fn momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    #[must_use]
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = weight_decay;
        self
    }

    #[must_use]
    pub fn nesterov(mut self) -> Self {
        self.nesterov = true;
        self
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        for (p, v) in self.parameters.iter().zip(&self.velocities.vars) {
            let Some(g) = gradients.get(p) else { continue };
            let (rate, momentum, decay) = (self.rate, self.momentum, self.weight_decay);
            let velocity = Update::Linear {
                a: momentum,
                b: 1.0,
                c: decay,
            };
            let step = if self.nesterov {
                Update::Linear {
                    a: 1.0 - rate * decay,
                    b: -rate,
                    c: -rate * momentum,
                }
            } else {
                Update::Linear {
                    a: 1.0,
                    b: 0.0,
                    c: -rate,
                }
            };
            update_both([v, p], g, [velocity, step])?;
        }
        self.steps += 1;
        Ok(())
    }

    fn parameters(&self) -> &[Var] {
        &self.parameters
    }

    fn learning_rate(&self) -> f64 {
        self.rate
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.rate = rate;
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        save_steps(self.steps, &mut state)?;
        self.velocities.save(&mut state)?;
        Ok(state)
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
        self.velocities.load(state)?;
        self.steps = load_steps(state)?;
        Ok(())
    }
}
