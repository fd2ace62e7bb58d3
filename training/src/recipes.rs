//! Recipes: a network, its data and how it is trained, with numbers that can be changed.

mod mnist;

use std::path::PathBuf;
use std::sync::Arc;

use carrel_ranks::{Environment, RanksError};
use serde::{Deserialize, Serialize};

pub use mnist::{Mnist, MnistNet};

use crate::data::MnistError;
use crate::parameter_servers::{ServersError, Updates};
use crate::trainer::{History, TrainError, Watcher};

/// All recipes, as a job's description names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "recipe", rename_all = "kebab-case")]
pub enum Recipe {
    Mnist(Mnist),
}

impl From<Mnist> for Recipe {
    fn from(mnist: Mnist) -> Self {
        Self::Mnist(mnist)
    }
}

/// Where a recipe runs.
pub struct Setting {
    pub environment: Environment,
    pub secret: Vec<u8>,
    /// When parameter servers change their parameters, if the job has some.
    pub updates: Updates,
    /// For checkpoints of rank 0.
    pub checkpoints: Option<PathBuf>,
    /// Asked before each step.
    pub stop: Arc<dyn Fn() -> bool + Send + Sync>,
    pub watcher: Option<Box<dyn Watcher>>,
    /// Takes the lines that are for people.
    pub say: Box<dyn FnMut(&str) + Send>,
}

impl Recipe {
    /// Runs this rank's part.
    ///
    /// # Errors
    /// When the data are missing or broken, the ranks do not meet, or training fails.
    pub fn run(&self, setting: Setting) -> Result<History, RecipeError> {
        match self {
            Self::Mnist(mnist) => mnist.run(setting),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    #[error(transparent)]
    Data(#[from] MnistError),
    #[error(transparent)]
    Ranks(#[from] RanksError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Servers(#[from] ServersError),
    #[error(
        "an evaluator tests checkpoints: give it the folder that the chief writes them to, on a volume of both"
    )]
    NoCheckpoints,
    #[error("a batch of {batch} cannot be shared by {world} ranks")]
    Batch { batch: usize, world: usize },
}

impl From<candle_core::Error> for RecipeError {
    fn from(error: candle_core::Error) -> Self {
        Self::Train(error.into())
    }
}
