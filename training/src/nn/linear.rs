//! The fully connected layer.

use super::{Layer, Parts, export_bias, map_weighted, uniform, weighted};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops::{self, Then};
use candle_core::{Module, Result, Shape, Tensor, Var};

/// `y = x w^T + b`, over the last dimension.
#[derive(Clone, Debug)]
pub struct Linear {
    /// (out, in)
    pub weight: Var,
    /// (out)
    pub bias: Option<Var>,
}

impl Linear {
    /// # Errors
    /// When candle refuses the shape.
    pub fn new(inner: usize, out: usize) -> Result<Self> {
        Ok(Self {
            weight: uniform((out, inner), inner)?,
            bias: Some(uniform(out, inner)?),
        })
    }

    /// The same without a bias.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.bias = None;
        self
    }

    /// With a rectifier or a dropout mask behind it, in one pass.
    ///
    /// # Errors
    /// When `x` does not fit.
    pub fn forward_then(&self, x: &Tensor, then: Then) -> Result<Tensor> {
        ops::linear(x, &self.weight, self.bias.as_deref(), then)
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_then(x, Then::default())
    }
}

impl Layer for Linear {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        weighted(parts, &self.weight, self.bias.as_ref());
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        map_weighted(&mut self.weight, &mut self.bias, change)
    }

    /// What is one dimension only: it takes more before it too.
    fn input_shape(&self) -> Option<Shape> {
        Some(self.weight.dims().get(1).copied()?.into())
    }

    fn forward_relu(&self, x: &Tensor, _train: bool) -> Option<Result<Tensor>> {
        let then = Then {
            relu: true,
            mask: None,
        };
        Some(self.forward_then(x, then))
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let bias = export_bias(graph, self.bias.as_ref())?;
        // `Gemm` is for matrices only.
        if x.rank() == 2 {
            let weight = graph.initializer("weight", &self.weight)?;
            let inputs: Vec<&Value> = [&x, &weight].into_iter().chain(&bias).collect();
            return Ok(graph.node("Gemm", &inputs, vec![Attribute::int("transB", 1)]));
        }
        let weight = graph.initializer("weight", &self.weight.t()?)?;
        let y = graph.node("MatMul", &[&x, &weight], vec![]);
        Ok(match bias {
            Some(bias) => graph.node("Add", &[&y, &bias], vec![]),
            None => y,
        })
    }
}
