//! What can go wrong with networks, each with the name of the input, file or engine that it is about.

use std::path::PathBuf;

use crate::tensor::DataType;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no input {name:?}; there are {known}")]
    UnknownInput { name: String, known: String },
    #[error("the input {name:?} is missing")]
    MissingInput { name: String },
    #[error("the input {name:?} is there twice")]
    RepeatedInput { name: String },
    #[error("the input {name:?} is {wanted}, not {given}")]
    WrongType {
        name: String,
        wanted: DataType,
        given: DataType,
    },
    /// `wanted` with `?` for dimensions of any size.
    #[error("the input {name:?} has the shape {wanted}, not {given:?}")]
    WrongShape {
        name: String,
        wanted: String,
        given: Vec<usize>,
    },
    #[error("the input {name:?}: {reason}")]
    Input { name: String, reason: String },
    #[error("there is no output {name:?}; there are {known}")]
    UnknownOutput { name: String, known: String },
    #[error("the output {name:?} is asked for twice")]
    RepeatedOutput { name: String },
    #[error("there is no signature {name:?}; there are {known}")]
    UnknownSignature { name: String, known: String },
    /// The engine says that it is the inputs that do not fit.
    #[error("{engine} cannot compute these inputs: {reason}")]
    Refused {
        engine: &'static str,
        reason: String,
    },
    #[error("{engine} failed: {reason}")]
    Failed {
        engine: &'static str,
        reason: String,
    },
    #[error("the run was stopped")]
    Stopped,
    #[error("there is no engine {engine}: {reason}")]
    NoEngine {
        engine: &'static str,
        reason: String,
    },
    #[error("could not load {}: {reason}", path.display())]
    Load { path: PathBuf, reason: String },
}

impl Error {
    /// Whether another request may well succeed: what is wrong is in what the caller sent.
    #[must_use]
    pub const fn is_of_the_request(&self) -> bool {
        !matches!(
            self,
            Self::Failed { .. } | Self::Stopped | Self::NoEngine { .. } | Self::Load { .. }
        )
    }

    pub(crate) fn load(path: impl Into<PathBuf>, reason: impl std::fmt::Display) -> Self {
        Self::Load {
            path: path.into(),
            reason: reason.to_string(),
        }
    }

    #[cfg(any(feature = "onnxruntime", feature = "pictures", feature = "rten"))]
    pub(crate) fn input(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::Input {
            name: name.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Names as a sentence has them.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("{name:?}")).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}
