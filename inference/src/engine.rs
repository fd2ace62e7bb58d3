//! What computes networks, and the choice among those that are there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::signature::{Named, Signature};

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

    /// The outputs with these names in their order, or all where none is named. The inputs fit the signature.
    ///
    /// # Errors
    /// Where the engine fails or says that the inputs do not fit after all.
    fn run(&self, inputs: Named, outputs: &[String]) -> Result<Named, Error>;
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

/// The engines of this process.
#[derive(Clone, Debug, Default)]
pub struct Engines {
    #[cfg_attr(not(feature = "onnxruntime"), allow(dead_code))]
    library: Option<PathBuf>,
}

impl Engines {
    /// `library` is the file of ONNX Runtime's library; without it `ORT_DYLIB_PATH` names it, or the system's loader finds
    /// `libonnxruntime.so`.
    #[must_use]
    pub const fn new(library: Option<PathBuf>) -> Self {
        Self { library }
    }

    /// The engine of this choice.
    ///
    /// # Errors
    /// Where it is not there; says what would bring it.
    pub fn get(&self, choice: Choice) -> Result<Box<dyn Engine>, Error> {
        match choice {
            Choice::OnnxRuntime => self.onnxruntime(),
            Choice::Rten => rten(),
            // The words of the first say more: it is the one that computes all networks.
            Choice::Auto => self
                .onnxruntime()
                .or_else(|error| rten().map_err(|_| error)),
        }
    }

    #[cfg(feature = "onnxruntime")]
    fn onnxruntime(&self) -> Result<Box<dyn Engine>, Error> {
        let engine = crate::onnxruntime::OnnxRuntime::start(self.library.as_deref())?;
        Ok(Box::new(engine))
    }

    #[cfg(not(feature = "onnxruntime"))]
    #[allow(clippy::unused_self)] // As with the feature.
    fn onnxruntime(&self) -> Result<Box<dyn Engine>, Error> {
        Err(Error::NoEngine {
            engine: "onnxruntime",
            reason: "this was built without the feature `onnxruntime`".into(),
        })
    }
}

/// Not yet: rten answers some networks wrongly, and which is to be known before it is asked.
fn rten() -> Result<Box<dyn Engine>, Error> {
    Err(Error::NoEngine {
        engine: "rten",
        reason: "it is not built in yet".into(),
    })
}
