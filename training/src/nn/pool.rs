//! Pools over stretches and square windows.

use super::layer::without_parts;
use super::{Layer, Parts};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops::{self, Pool2dConfig};
use candle_core::{Module, Result, Tensor, Var};

/// The maximum of each window of (n, c, l).
#[derive(Clone, Copy, Debug)]
pub struct MaxPool1d(pub Pool2dConfig);

/// The mean of each window of (n, c, l).
#[derive(Clone, Copy, Debug)]
pub struct AvgPool1d(pub Pool2dConfig);

/// The maximum of each window of (n, c, h, w).
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(pub Pool2dConfig);

/// The mean of each window of (n, c, h, w).
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d(pub Pool2dConfig);

/// Means of windows that cover each plane of (n, c, h, w), as many as it says along both axes: (n, c, k, k). With 1, the mean
/// of each plane.
#[derive(Clone, Copy, Debug)]
pub struct AdaptiveAvgPool2d(pub usize);

impl Module for AdaptiveAvgPool2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::adaptive_avg_pool2d(x, [self.0; 2])
    }
}

impl Layer for AdaptiveAvgPool2d {
    fn parts<'a>(&'a self, _parts: &mut Parts<'a>) {}

    fn map(&mut self, _: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        Ok(())
    }

    /// Where the windows are more than one, they depend on the size of what comes in, which ONNX has no operator for.
    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        match self.0 {
            1 => Ok(graph.node("GlobalAveragePool", &[&x], vec![])),
            out => Err(OnnxError::Layer(format!("AdaptiveAvgPool2d({out})"))),
        }
    }
}

macro_rules! pool {
    ($layer:ident, $op:path) => {
        impl $layer {
            /// Windows side by side.
            pub fn new(kernel: usize) -> Self {
                Self(Pool2dConfig::new(kernel))
            }

            #[must_use]
            pub fn stride(mut self, stride: usize) -> Self {
                self.0.stride = stride;
                self
            }

            #[must_use]
            pub fn padding(mut self, padding: usize) -> Self {
                self.0.padding = padding;
                self
            }
        }

        impl Module for $layer {
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                $op(x, &self.0)
            }
        }
    };
}

pool!(MaxPool1d, ops::max_pool1d);
pool!(AvgPool1d, ops::avg_pool1d);
pool!(MaxPool2d, ops::max_pool2d);
pool!(AvgPool2d, ops::avg_pool2d);
without_parts!(
    MaxPool1d => |pool, graph, x| graph.node("MaxPool", &[&x], window::<1>(&pool.0)),
    AvgPool1d => |pool, graph, x| graph.node("AveragePool", &[&x], with_padding::<1>(&pool.0)),
    MaxPool2d => |pool, graph, x| graph.node("MaxPool", &[&x], window::<2>(&pool.0)),
    AvgPool2d => |pool, graph, x| graph.node("AveragePool", &[&x], with_padding::<2>(&pool.0)),
);

fn window<const AXES: usize>(config: &Pool2dConfig) -> Vec<Attribute> {
    vec![
        Attribute::ints("kernel_shape", [config.kernel; AXES]),
        Attribute::ints("strides", [config.stride; AXES]),
        Attribute::ints("pads", std::iter::repeat_n(config.padding, 2 * AXES)),
    ]
}

/// Padding counts as zeros.
fn with_padding<const AXES: usize>(config: &Pool2dConfig) -> Vec<Attribute> {
    let mut attributes = window::<AXES>(config);
    attributes.push(Attribute::int("count_include_pad", 1));
    attributes
}
