//! What all layers have: named parameters, buffers and generators, which make up the state of a network.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

use candle_core::{DType, Device, ModuleT, Result, Shape, Tensor, Var};

use crate::onnx::graph::{Graph, OnnxError, Value};
use crate::random::Random;

/// A layer or a network of layers.
pub trait Layer: ModuleT + Send + Sync {
    /// Names what the layer consists of.
    fn parts<'a>(&'a self, parts: &mut Parts<'a>);

    /// Replaces every parameter and buffer.
    ///
    /// # Errors
    /// Those of `change`.
    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()>;

    /// Adds to an ONNX graph what the layer does with `x` in use; see [`crate::onnx::export`].
    ///
    /// # Errors
    /// When the layer does not say how.
    fn to_onnx(&self, _graph: &mut Graph, _x: Value) -> std::result::Result<Value, OnnxError> {
        Err(OnnxError::Layer(std::any::type_name::<Self>().to_owned()))
    }

    /// The shape of one input without the batch, where the layer takes one only; a network of one's own says it as
    /// [`Layer::to_onnx`]. For [`crate::serving`].
    fn input_shape(&self) -> Option<Shape> {
        None
    }

    /// The type of the input, where it is not that of the parameters: whole numbers before an embedding.
    fn input_dtype(&self) -> Option<DType> {
        None
    }

    /// The same as [`Relu`](super::Relu) behind the layer, where it does both in one pass.
    fn forward_relu(&self, _x: &Tensor, _train: bool) -> Option<Result<Tensor>> {
        None
    }

    /// Whether this is a rectifier, which the layer before it may do in its pass.
    fn is_relu(&self) -> bool {
        false
    }

    /// What the network answers in use: without dropout, with the running means of batch norm.
    ///
    /// # Errors
    /// When `x` does not fit.
    fn predict(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.forward_t(x, false)?.detach())
    }

    /// All parts with their names, such as `conv1.weight`.
    fn named_parts(&self) -> Vec<(String, Part<'_>)> {
        let mut parts = Parts::default();
        self.parts(&mut parts);
        parts.list
    }

    /// What an optimizer changes, in order.
    fn parameters(&self) -> Vec<Var> {
        let parts = self.named_parts().into_iter();
        let parameter = |(_, part)| match part {
            Part::Parameter(var) => Some(var.clone()),
            _ => None,
        };
        parts.filter_map(parameter).collect()
    }

    /// Moves the network to a device.
    ///
    /// # Errors
    /// When the device is lost or full.
    fn to_device(&mut self, device: &Device) -> Result<()> {
        self.map(&mut |var| Var::from_tensor(&var.to_device(device)?))
    }

    /// Converts parameters and buffers to an element type.
    ///
    /// # Errors
    /// When the device cannot.
    fn to_dtype(&mut self, dtype: DType) -> Result<()> {
        self.map(&mut |var| Var::from_tensor(&var.as_tensor().to_dtype(dtype)?))
    }

    /// The values of all parameters and buffers; later steps do not change them.
    ///
    /// # Errors
    /// When the device is lost.
    fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for (name, part) in self.named_parts() {
            if let Part::Parameter(var) | Part::Buffer(var) = part {
                state.insert(name, var.as_tensor().copy()?.detach());
            }
        }
        Ok(state)
    }

    /// Sets all parameters and buffers.
    ///
    /// # Errors
    /// When a name is missing or unknown, or a shape is another; nothing is set then.
    fn load_state(&self, state: &BTreeMap<String, Tensor>) -> std::result::Result<(), StateError> {
        let mut vars = Vec::new();
        for (name, part) in self.named_parts() {
            if let Part::Parameter(var) | Part::Buffer(var) = part {
                let value = state.get(&name).ok_or(StateError::Missing(name.clone()))?;
                if value.dims() != var.dims() {
                    return Err(StateError::Shape {
                        name,
                        expected: var.dims().to_vec(),
                        found: value.dims().to_vec(),
                    });
                }
                vars.push((name, var, value));
            }
        }
        if let Some(name) = state
            .keys()
            .find(|key| !vars.iter().any(|(name, ..)| name == *key))
        {
            return Err(StateError::Unknown(name.clone()));
        }
        for (_, var, value) in vars {
            var.set(&value.to_device(var.device())?.to_dtype(var.dtype())?)?;
        }
        Ok(())
    }

    /// A line for each part, and the number of parameters.
    fn summary(&self) -> String {
        let (mut lines, mut total) = (String::new(), 0);
        for (name, part) in self.named_parts() {
            let (kind, var) = match part {
                Part::Parameter(var) => ("", var),
                Part::Buffer(var) => (" (buffer)", var),
                Part::Random(_) => continue,
            };
            if kind.is_empty() {
                total += var.elem_count();
            }
            // Writing to a string cannot fail.
            let _ = writeln!(lines, "{name:32} {:>16}{kind}", format!("{:?}", var.dims()));
        }
        format!("{lines}{total} parameters")
    }
}

impl Graph {
    /// An inner layer, whose tensors have its name before theirs.
    ///
    /// # Errors
    /// Those of the layer.
    pub fn layer(
        &mut self,
        name: &str,
        layer: &dyn Layer,
        x: Value,
    ) -> std::result::Result<Value, OnnxError> {
        self.within(name, |graph| layer.to_onnx(graph, x))
    }
}

/// Why a state does not fit a network.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the state has no {0}, which the network has")]
    Missing(String),
    #[error("the state has {0}, which the network does not have")]
    Unknown(String),
    #[error("{name} has the shape {found:?} in the state, but {expected:?} in the network")]
    Shape {
        name: String,
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A part of a layer.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// What an optimizer changes.
    Parameter(&'a Var),
    /// What the layer changes itself, such as a running mean.
    Buffer(&'a Var),
    /// What dropout draws from.
    Random(&'a Mutex<Random>),
}

/// Collects the parts of a network.
#[derive(Debug, Default)]
pub struct Parts<'a> {
    prefix: String,
    list: Vec<(String, Part<'a>)>,
}

impl<'a> Parts<'a> {
    pub fn parameter(&mut self, name: &str, var: &'a Var) {
        self.push(name, Part::Parameter(var));
    }

    pub fn buffer(&mut self, name: &str, var: &'a Var) {
        self.push(name, Part::Buffer(var));
    }

    pub fn random(&mut self, name: &str, random: &'a Mutex<Random>) {
        self.push(name, Part::Random(random));
    }

    /// The parts of an inner layer, under its name.
    pub fn layer(&mut self, name: &str, layer: &'a dyn Layer) {
        let length = self.prefix.len();
        self.prefix.push_str(name);
        self.prefix.push('.');
        layer.parts(self);
        self.prefix.truncate(length);
    }

    fn push(&mut self, name: &str, part: Part<'a>) {
        self.list.push((format!("{}{name}", self.prefix), part));
    }
}

/// Says which fields of a network are its layers. Further methods of [`Layer`] may follow.
#[macro_export]
macro_rules! layers {
    ($network:ty { $($field:ident),* $(,)? } $($methods:tt)*) => {
        impl $crate::nn::Layer for $network {
            fn parts<'a>(&'a self, parts: &mut $crate::nn::Parts<'a>) {
                $(parts.layer(stringify!($field), &self.$field);)*
            }

            fn map(
                &mut self,
                change: &mut dyn FnMut(&$crate::prelude::Var) -> $crate::prelude::candle_core::Result<$crate::prelude::Var>,
            ) -> $crate::prelude::candle_core::Result<()> {
                $($crate::nn::Layer::map(&mut self.$field, change)?;)*
                Ok(())
            }

            $($methods)*
        }
    };
}
pub use layers;

/// A layer without parts, and the nodes that it is in ONNX.
macro_rules! without_parts {
    ($($layer:ty => $to_onnx:expr),* $(,)?) => {$(
        impl $crate::nn::Layer for $layer {
            fn parts<'a>(&'a self, _parts: &mut $crate::nn::Parts<'a>) {}

            fn map(&mut self, _: &mut dyn FnMut(&candle_core::Var) -> candle_core::Result<candle_core::Var>) -> candle_core::Result<()> {
                Ok(())
            }

            fn to_onnx(
                &self,
                graph: &mut $crate::onnx::graph::Graph,
                x: $crate::onnx::graph::Value,
            ) -> std::result::Result<$crate::onnx::graph::Value, $crate::onnx::graph::OnnxError> {
                let to_onnx: fn(&Self, &mut $crate::onnx::graph::Graph, $crate::onnx::graph::Value) -> $crate::onnx::graph::Value = $to_onnx;
                Ok(to_onnx(self, graph, x))
            }
        }
    )*};
}
pub(super) use without_parts;
