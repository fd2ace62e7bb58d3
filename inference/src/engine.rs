//! What computes networks, whichever it is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::signature::{Named, Signature};
use crate::stop::Stop;

/// Loads networks.
pub trait Engine: Send + Sync {
    fn name(&self) -> &'static str;

    /// The engine's own version.
    fn version(&self) -> String;

    /// A network from an ONNX file; what it names beside itself is looked for in its folder.
    ///
    /// # Errors
    /// Where the file cannot be read, or the engine does not compute all of it rightly.
    fn load(&self, file: &Path, options: &LoadOptions) -> Result<Box<dyn Network>, Error>;
}

/// A loaded network, which many threads may run.
pub trait Network: Send + Sync {
    fn signature(&self) -> &Signature;

    /// Whether the first dimension of all inputs and outputs is of any size and has one name, and so is one of rows.
    fn has_rows(&self) -> bool;

    /// The outputs with these names in their order, or all where none is named. The inputs fit the signature.
    ///
    /// # Errors
    /// Where the engine fails, says that the inputs do not fit after all, or was stopped.
    fn run(&self, inputs: Named, outputs: &[String], stop: &Stop) -> Result<Named, Error>;
}

/// Which engine loads a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// ONNX Runtime where its library is, else rten.
    #[default]
    Auto,
    OnnxRuntime,
    Rten,
}

/// How a network is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Threads that share the work of one operator; 0 for one per core.
    pub threads: usize,
    /// How many requests are computed at a time, each with threads and memory of its own.
    pub instances: usize,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            instances: 1,
        }
    }
}
