//! Activations and reshaping: layers without parameters.

use super::layer::without_parts;
use super::{Layer, Parts};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops;
use candle_core::{Module, Result, Tensor, Var};

/// `max(x, 0)`; a value that is not a number stays one, and the gradient at 0 is 0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Relu;

/// The exact form, by the error function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gelu;

/// `x * sigmoid(x)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silu;

/// `1 / (1 + exp(-x))`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sigmoid;

/// The hyperbolic tangent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tanh;

/// Over the last dimension.
#[derive(Clone, Copy, Debug, Default)]
pub struct Softmax;

/// Over the last dimension.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSoftmax;

/// (n, ..) becomes (n, product).
#[derive(Clone, Copy, Debug, Default)]
pub struct Flatten;

impl Module for Relu {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::relu(x)
    }
}

impl Module for Gelu {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::gelu(x)
    }
}

impl Module for Silu {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.silu()
    }
}

impl Module for Sigmoid {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::sigmoid(x)
    }
}

impl Module for Tanh {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.tanh()
    }
}

impl Module for Softmax {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::softmax(x, candle_core::D::Minus1)
    }
}

impl Module for LogSoftmax {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::log_softmax(x, candle_core::D::Minus1)
    }
}

impl Module for Flatten {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.flatten_from(1)
    }
}

impl Layer for Relu {
    fn parts<'a>(&'a self, _parts: &mut Parts<'a>) {}

    fn map(&mut self, _: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        Ok(())
    }

    fn is_relu(&self) -> bool {
        true
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        Ok(graph.node("Relu", &[&x], vec![]))
    }
}

without_parts!(
    Gelu => |_, graph, x| graph.node("Gelu", &[&x], vec![]),
    Silu => |_, graph, x| {
        let sigmoid = graph.node("Sigmoid", &[&x], vec![]);
        graph.node("Mul", &[&x, &sigmoid], vec![])
    },
    Sigmoid => |_, graph, x| graph.node("Sigmoid", &[&x], vec![]),
    Tanh => |_, graph, x| graph.node("Tanh", &[&x], vec![]),
    Softmax => |_, graph, x| graph.node("Softmax", &[&x], vec![Attribute::int("axis", -1)]),
    LogSoftmax => |_, graph, x| graph.node("LogSoftmax", &[&x], vec![Attribute::int("axis", -1)]),
    Flatten => |_, graph, x| graph.node("Flatten", &[&x], vec![Attribute::int("axis", 1)]).of_rank(2),
);
