//! Layers one after the other.

use super::{Layer, Parts};
use crate::onnx::graph::{Graph, OnnxError, Value};
use candle_core::{DType, ModuleT, Result, Shape, Tensor, Var};

/// A network in which each layer takes what the one before it gives. [`sequential!`](crate::sequential) makes one.
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
}

impl Sequential {
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more layer, whose name is its number.
    #[must_use]
    #[allow(clippy::should_implement_trait)]
    pub fn add(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    pub fn len(&self) -> usize {
        self.layers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }
}

impl ModuleT for Sequential {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (mut x, mut at) = (x.clone(), 0);
        while let Some(layer) = self.layers.get(at) {
            let relu = self.layers.get(at + 1).is_some_and(|next| next.is_relu());
            let both = relu.then(|| layer.forward_relu(&x, train)).flatten();
            let steps = 1 + usize::from(both.is_some());
            x = both
                .unwrap_or_else(|| layer.forward_t(&x, train))
                .map_err(|error| error.context(format!("in layer {at} of a Sequential")))?;
            at += steps;
        }
        Ok(x)
    }
}

impl Layer for Sequential {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        for (at, layer) in self.layers.iter().enumerate() {
            parts.layer(&at.to_string(), layer.as_ref());
        }
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        self.layers
            .iter_mut()
            .try_for_each(|layer| layer.map(change))
    }

    fn input_shape(&self) -> Option<Shape> {
        self.layers.first()?.input_shape()
    }

    fn input_dtype(&self) -> Option<DType> {
        self.layers.first()?.input_dtype()
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let mut layers = self.layers.iter().enumerate();
        layers.try_fold(x, |x, (at, layer)| {
            graph.layer(&at.to_string(), layer.as_ref(), x)
        })
    }
}

/// The layers and nothing of their values.
impl std::fmt::Debug for Sequential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "Sequential of {} layers\n{}",
            self.len(),
            self.summary()
        )
    }
}

/// `sequential![Linear::new(784, 128)?, Relu, Linear::new(128, 10)?]`
#[macro_export]
macro_rules! sequential {
    ($($layer:expr),* $(,)?) => { $crate::nn::Sequential::new()$(.add($layer))* };
}
