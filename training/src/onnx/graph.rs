//! What layers add to an ONNX graph: operators, and tensors of candle as parts of the model. Below the layers, which
//! know how each of them is exported.

use std::io;
use std::path::PathBuf;

use candle_core::{DType, Device, Shape, Tensor};
pub use carrel_onnx::{Attribute, Value};
use carrel_onnx::{Element, TensorType, TooLarge};

#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    #[error(
        "{0} does not say how it is exported: build the network with `sequential!`, or give `layers!` a method \
         `to_onnx` for it"
    )]
    Layer(String),
    #[error("ONNX has no counterpart here of tensors of {0:?}")]
    DType(DType),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the network does not take items of {shape:?}: {source}")]
    Input {
        shape: Shape,
        source: candle_core::Error,
    },
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// What a graph is built with.
#[derive(Debug, Default)]
pub struct Graph(carrel_onnx::Graph);

impl Graph {
    /// A tensor that is part of the model.
    ///
    /// # Errors
    /// When its type is none of ONNX, or the device is lost.
    pub fn initializer(&mut self, name: &str, tensor: &Tensor) -> Result<Value, OnnxError> {
        let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
        let mut bytes = Vec::new();
        flat.contiguous()?.write_bytes(&mut bytes)?;
        let element = element(tensor.dtype())?;
        Ok(self.0.initializer(name, element, tensor.dims(), bytes))
    }

    /// An operator of ONNX over tensors; what it gives has the rank of the first.
    pub fn node(&mut self, operator: &str, inputs: &[&Value], attributes: Vec<Attribute>) -> Value {
        self.0.node(operator, inputs, attributes)
    }

    /// With a layer's name before those of the tensors that `add` adds.
    pub(crate) fn within<R>(&mut self, layer: &str, add: impl FnOnce(&mut Self) -> R) -> R {
        self.0.enter(layer);
        let added = add(self);
        self.0.leave();
        added
    }

    /// The bytes of the model, by the types of one batch.
    pub(super) fn into_model(
        self,
        last: &Value,
        input: &Tensor,
        output: &Tensor,
    ) -> Result<Vec<u8>, OnnxError> {
        Ok(self.0.into_model(last, of(input)?, of(output)?)?)
    }
}

fn of(tensor: &Tensor) -> Result<TensorType<'_>, OnnxError> {
    Ok(TensorType {
        element: element(tensor.dtype())?,
        dims: tensor.dims(),
    })
}

fn element(dtype: DType) -> Result<Element, OnnxError> {
    match dtype {
        DType::F32 => Ok(Element::F32),
        DType::U8 => Ok(Element::U8),
        DType::I32 => Ok(Element::I32),
        DType::I64 => Ok(Element::I64),
        DType::F16 => Ok(Element::F16),
        DType::F64 => Ok(Element::F64),
        DType::U32 => Ok(Element::U32),
        DType::BF16 => Ok(Element::Bf16),
        other => Err(OnnxError::DType(other)),
    }
}
