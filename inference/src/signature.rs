//! What a network takes and gives, and whether given inputs are that.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::error::{Error, listed};
use crate::tensor::{DataType, Tensor};

/// Tensors by their names, in order.
pub type Named = Vec<(String, Tensor)>;

/// One tensor that a network takes or gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TensorSpec {
    pub name: String,
    pub dtype: DataType,
    /// A size for each dimension, or none where any will do; empty for a scalar, and where the network does not say.
    pub shape: Vec<Option<usize>>,
}

impl TensorSpec {
    /// The shape for people: `[?, 3, 227, 227]`.
    #[must_use]
    pub fn shape_text(&self) -> String {
        let mut text = String::from("[");
        for (index, dim) in self.shape.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            // Writing to a string does not fail.
            let _ = match dim {
                Some(dim) => write!(text, "{comma}{dim}"),
                None => write!(text, "{comma}?"),
            };
        }
        text.push(']');
        text
    }

    fn check(&self, dtype: DataType, given: &[usize]) -> Result<(), Error> {
        if dtype != self.dtype {
            return Err(Error::WrongType {
                name: self.name.clone(),
                wanted: self.dtype,
                given: dtype,
            });
        }
        let fits =
            |(wanted, given): (&Option<usize>, &usize)| wanted.is_none_or(|dim| dim == *given);
        match self.shape.is_empty()
            || self.shape.len() == given.len() && self.shape.iter().zip(given).all(fits)
        {
            true => Ok(()),
            false => Err(Error::WrongShape {
                name: self.name.clone(),
                wanted: self.shape_text(),
                given: given.to_vec(),
            }),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

impl Signature {
    #[must_use]
    pub fn input(&self, name: &str) -> Option<&TensorSpec> {
        self.inputs.iter().find(|input| input.name == name)
    }

    #[must_use]
    pub fn output(&self, name: &str) -> Option<&TensorSpec> {
        self.outputs.iter().find(|output| output.name == name)
    }

    /// Whether these are all inputs, each of its type and shape.
    ///
    /// # Errors
    /// The first that is not, by its name.
    pub fn check(&self, inputs: &[(String, Tensor)]) -> Result<(), Error> {
        for (index, (name, tensor)) in inputs.iter().enumerate() {
            self.check_input(name, tensor.dtype(), tensor.shape())?;
            if inputs[..index].iter().any(|(other, _)| other == name) {
                return Err(Error::RepeatedInput { name: name.clone() });
            }
        }
        let given = |spec: &&TensorSpec| inputs.iter().any(|(name, _)| *name == spec.name);
        match self.inputs.iter().find(|spec| !given(spec)) {
            Some(missing) => Err(Error::MissingInput {
                name: missing.name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Whether there is an input of this name, type and shape.
    ///
    /// # Errors
    /// Where there is not, by its name.
    pub fn check_input(&self, name: &str, dtype: DataType, shape: &[usize]) -> Result<(), Error> {
        let unknown = || Error::UnknownInput {
            name: name.to_owned(),
            known: listed(self.inputs.iter().map(|input| &*input.name)),
        };
        self.input(name).ok_or_else(unknown)?.check(dtype, shape)
    }

    /// Whether there are such outputs, each named once.
    ///
    /// # Errors
    /// The first that is not there, or there again, by its name.
    pub fn check_outputs(&self, names: &[String]) -> Result<(), Error> {
        for (index, name) in names.iter().enumerate() {
            if self.output(name).is_none() {
                return Err(Error::UnknownOutput {
                    name: name.clone(),
                    known: listed(self.outputs.iter().map(|output| &*output.name)),
                });
            }
            if names[..index].contains(name) {
                return Err(Error::RepeatedOutput { name: name.clone() });
            }
        }
        Ok(())
    }
}

/// Whether all these dimensions have a name, and the same.
#[cfg_attr(not(any(feature = "onnxruntime", feature = "rten")), allow(dead_code))]
pub(crate) fn one_name<'a>(mut names: impl Iterator<Item = Option<&'a str>>) -> bool {
    let first = names.next().flatten().filter(|name| !name.is_empty());
    first.is_some() && names.all(|name| name == first)
}
