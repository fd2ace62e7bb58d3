//! What a layer gives, added to what it takes.

use super::{Layer, Parts};
use crate::onnx::graph::{Graph, OnnxError, Value};
use candle_core::{DType, ModuleT, Result, Shape, Tensor, Var};

/// `layer(x) + x`, or `layer(x) + shortcut(x)` where the layer gives another shape.
///
/// ```
/// # use carrel_training::prelude::*;
/// let conv = |inner, stride| Ok::<_, candle_core::Error>(Conv2d::new(inner, 8, 3)?.stride(stride).padding(1));
/// let net = sequential![
///     Residual::new(sequential![conv(4, 2)?, BatchNorm::new(8)?, Relu, conv(8, 1)?, BatchNorm::new(8)?])
///         .shortcut(Conv2d::new(4, 8, 1)?.stride(2)),
///     Relu,
///     Residual::new(sequential![conv(8, 1)?, Relu]),
/// ];
/// assert_eq!(net.predict(&Tensor::zeros((1, 4, 6, 6), DType::F32, &Device::Cpu)?)?.dims(), [1, 8, 3, 3]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct Residual {
    layer: Box<dyn Layer>,
    /// None is what comes in.
    shortcut: Option<Box<dyn Layer>>,
}

impl Residual {
    /// Around a layer that gives the shape that it takes.
    pub fn new(layer: impl Layer + 'static) -> Self {
        Self {
            layer: Box::new(layer),
            shortcut: None,
        }
    }

    /// What else becomes of the input.
    #[must_use]
    pub fn shortcut(mut self, layer: impl Layer + 'static) -> Self {
        self.shortcut = Some(Box::new(layer));
        self
    }
}

impl ModuleT for Residual {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.layer.forward_t(x, train)?;
        match &self.shortcut {
            Some(shortcut) => y + shortcut.forward_t(x, train)?,
            None => y + x,
        }
    }
}

impl Layer for Residual {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.layer("layer", self.layer.as_ref());
        if let Some(shortcut) = &self.shortcut {
            parts.layer("shortcut", shortcut.as_ref());
        }
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        self.layer.map(change)?;
        self.shortcut
            .iter_mut()
            .try_for_each(|layer| layer.map(change))
    }

    fn input_shape(&self) -> Option<Shape> {
        self.layer.input_shape()
    }

    fn input_dtype(&self) -> Option<DType> {
        self.layer.input_dtype()
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let y = graph.layer("layer", self.layer.as_ref(), x.clone())?;
        let x = match &self.shortcut {
            Some(shortcut) => graph.layer("shortcut", shortcut.as_ref(), x)?,
            None => x,
        };
        Ok(graph.node("Add", &[&y, &x], vec![]))
    }
}

/// The layers and nothing of their values.
impl std::fmt::Debug for Residual {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Residual\n{}", self.summary())
    }
}
