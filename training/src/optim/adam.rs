//! Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019).

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use super::update::{Update, update};
use super::{Optimizer, Slots, load_all_steps, save_all_steps};

/// Weight decay counts as a part of the gradient; see [`AdamW`] for the other way. Betas of 0.9 and 0.999, an eps of 1e-8
/// and no decay, unless told otherwise.
pub struct Adam(Moments);

/// Weight decay is a step of its own, 0.01 unless told otherwise; the rest as in [`Adam`].
pub struct AdamW(Moments);

struct Moments {
    parameters: Vec<Var>,
    rate: f64,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
    first: Slots,
    second: Slots,
    /// Of each parameter: the bias correction is that of its own steps, as in PyTorch.
    steps: Vec<u64>,
}

impl Moments {
    fn new(parameters: Vec<Var>, rate: f64, weight_decay: f64, decoupled: bool) -> Result<Self> {
        Ok(Self {
            first: Slots::new("first", &parameters)?,
            second: Slots::new("second", &parameters)?,
            steps: vec![0; parameters.len()],
            parameters,
            rate,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay,
            decoupled,
        })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let (b1, b2) = self.betas;
        let (decay, shrink) = match self.decoupled {
            true => (0.0, 1.0 - self.rate * self.weight_decay),
            false => (self.weight_decay, 1.0),
        };
        let slots = self.first.vars.iter().zip(&self.second.vars);
        for ((p, (m, v)), steps) in self.parameters.iter().zip(slots).zip(&mut self.steps) {
            let Some(g) = gradients.get(p) else { continue };
            *steps += 1;
            let steps = *steps as f64;
            let first = Update::Linear {
                a: b1,
                b: 1.0 - b1,
                c: (1.0 - b1) * decay,
            };
            update(m, g, p, first)?;
            let second = Update::Square {
                a: b2,
                b: 1.0 - b2,
                c: decay,
            };
            update(v, g, p, second)?;
            let step = Update::Quotient {
                a: shrink,
                b: self.rate / (1.0 - b1.powf(steps)),
                c: (1.0 - b2.powf(steps)).sqrt(),
                eps: self.eps,
            };
            update(p, m, v, step)?;
        }
        Ok(())
    }
}

macro_rules! adam {
    ($name:ident, $decay:literal, $decoupled:literal) => {
        impl $name {
            /// # Errors
            /// When the device has no memory for the moments.
            pub fn new(parameters: Vec<Var>, learning_rate: f64) -> Result<Self> {
                Moments::new(parameters, learning_rate, $decay, $decoupled).map(Self)
            }

            #[must_use]
            pub fn betas(mut self, first: f64, second: f64) -> Self {
                self.0.betas = (first, second);
                self
            }

            #[must_use]
            pub fn eps(mut self, eps: f64) -> Self {
                self.0.eps = eps;
                self
            }

            #[must_use]
            pub fn weight_decay(mut self, weight_decay: f64) -> Self {
                self.0.weight_decay = weight_decay;
                self
            }
        }

        impl Optimizer for $name {
            fn step(&mut self, gradients: &GradStore) -> Result<()> {
                self.0.step(gradients)
            }

            fn parameters(&self) -> &[Var] {
                &self.0.parameters
            }

            fn learning_rate(&self) -> f64 {
                self.0.rate
            }

            fn set_learning_rate(&mut self, rate: f64) {
                self.0.rate = rate;
            }

            fn state(&self) -> Result<BTreeMap<String, Tensor>> {
                let mut state = BTreeMap::new();
                save_all_steps(&self.0.steps, &mut state)?;
                self.0.first.save(&mut state)?;
                self.0.second.save(&mut state)?;
                Ok(state)
            }

            fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<()> {
                self.0.first.load(state)?;
                self.0.second.load(state)?;
                self.0.steps = load_all_steps(self.0.steps.len(), state)?;
                Ok(())
            }
        }
    };
}

adam!(Adam, 0.0, false);
adam!(AdamW, 0.01, true);
