//! How ranks meet: who they are, what must be equal on all of them, and how long they wait.

use std::sync::Arc;
use std::time::Duration;

use crate::environment::Environment;
use crate::error::RanksError;

/// How ranks meet.
#[derive(Clone)]
pub struct Meeting {
    pub environment: Environment,
    /// What all ranks of the job know and nobody else.
    pub secret: Vec<u8>,
    /// What must be equal on all ranks, such as the recipe with its numbers.
    pub configuration: String,
    pub sum_order: SumOrder,
    /// How long ranks may take to start.
    pub start_within: Duration,
    /// How long a rank may give no sign of life.
    pub silence: Duration,
    /// Asked while waiting for the others; where it says so, this rank no longer waits.
    pub stop: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Meeting {
    /// With the environment's times to start and of silence.
    pub fn new(environment: Environment) -> Self {
        Self {
            secret: Vec::new(),
            configuration: String::new(),
            sum_order: SumOrder::default(),
            start_within: environment.start_within,
            silence: environment.silence,
            stop: Arc::new(|| false),
            environment,
        }
    }

    /// All that must be equal on all ranks.
    pub(crate) fn whole_configuration(&self) -> String {
        match self.sum_order {
            SumOrder::Any => self.configuration.clone(),
            SumOrder::Ranks => format!("{}; sums in the order of the ranks", self.configuration),
        }
    }

    /// That some ranks did not come in time.
    pub(crate) fn missing(&self, missing: Vec<usize>, refused: String) -> RanksError {
        RanksError::Missing {
            world: self.environment.world,
            missing,
            seconds: self.start_within.as_secs(),
            refused,
        }
    }
}

/// In which order numbers are added; floating-point sums depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SumOrder {
    /// The quickest one. It depends on the number of ranks, and on where a number stands among those that are summed
    /// in one go.
    #[default]
    Any,
    /// That of the ranks, whatever else is summed with a number.
    Ranks,
}
