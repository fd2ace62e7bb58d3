//! Learning rates that change with the steps.

use std::f64::consts::PI;

/// A factor for the learning rate at each step, counted from 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Schedule {
    #[default]
    Constant,
    /// Times `gamma` after every `every` steps.
    Steps { every: usize, gamma: f64 },
    /// Times `gamma` after each step.
    Exponential { gamma: f64 },
    /// Half a cosine from 1 down to `least` at step `over`, which it keeps then.
    Cosine { over: usize, least: f64 },
    /// Grows evenly over `over` steps, then follows another schedule from its beginning.
    Warmup { over: usize, then: Box<Schedule> },
}

impl Schedule {
    /// The factor at a step.
    pub fn factor(&self, step: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Steps { every, gamma } => gamma.powf((step / (*every).max(1)) as f64),
            Self::Exponential { gamma } => gamma.powf(step as f64),
            Self::Cosine { over, least } => {
                let part = step as f64 / (*over).max(1) as f64;
                least + (1.0 - least) * (1.0 + (PI * part.min(1.0)).cos()) / 2.0
            }
            Self::Warmup { over, .. } if step < *over => (step + 1) as f64 / (*over + 1) as f64,
            Self::Warmup { over, then } => then.factor(step - over),
        }
    }
}
