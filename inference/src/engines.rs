//! The choice among the engines that are there.

use std::path::PathBuf;

use crate::engine::{Choice, Engine};
use crate::error::Error;

/// The engines of this process.
#[derive(Clone, Debug, Default)]
pub struct Engines {
    #[cfg_attr(not(feature = "onnxruntime"), allow(dead_code))]
    library: Option<PathBuf>,
    #[cfg_attr(not(any(feature = "onnxruntime", feature = "rten")), allow(dead_code))]
    unchecked: bool,
}

impl Engines {
    /// `library` is the file of ONNX Runtime's library; without it `ORT_DYLIB_PATH` names it, or the system's loader finds
    /// `libonnxruntime.so`.
    #[must_use]
    pub const fn new(library: Option<PathBuf>) -> Self {
        Self {
            library,
            unchecked: false,
        }
    }

    /// The same engines, which load networks that they are not known to compute rightly too: for those who find out.
    #[must_use]
    pub fn unchecked(self) -> Self {
        Self {
            unchecked: true,
            ..self
        }
    }

    /// The engine of this choice.
    ///
    /// # Errors
    /// Where it is not there; says what would bring it.
    pub fn get(&self, choice: Choice) -> Result<Box<dyn Engine>, Error> {
        match choice {
            Choice::OnnxRuntime => self.onnxruntime(),
            Choice::Rten => self.rten(),
            // The words of the first say more: it is the one that computes all networks.
            Choice::Auto => self
                .onnxruntime()
                .or_else(|error| self.rten().map_err(|_| error)),
        }
    }

    #[cfg(feature = "onnxruntime")]
    fn onnxruntime(&self) -> Result<Box<dyn Engine>, Error> {
        let engine =
            crate::onnxruntime::OnnxRuntime::start(self.library.as_deref(), self.unchecked)?;
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

    #[cfg(feature = "rten")]
    #[allow(clippy::unnecessary_wraps)] // As without the feature.
    fn rten(&self) -> Result<Box<dyn Engine>, Error> {
        let unchecked = self.unchecked;
        Ok(Box::new(crate::rten::Rten { unchecked }))
    }

    #[cfg(not(feature = "rten"))]
    #[allow(clippy::unused_self)] // As with the feature.
    fn rten(&self) -> Result<Box<dyn Engine>, Error> {
        Err(Error::NoEngine {
            engine: "rten",
            reason: "this was built without the feature `rten`".into(),
        })
    }
}
