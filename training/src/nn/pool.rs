//! Pools over square windows.

use super::layer::without_parts;
use crate::onnx::Attribute;
use crate::ops::{self, Pool2dConfig};
use candle_core::{Module, Result, Tensor};

/// The maximum of each window of (n, c, h, w).
#[derive(Clone, Copy, Debug)]
pub struct MaxPool2d(pub Pool2dConfig);

/// The mean of each window of (n, c, h, w).
#[derive(Clone, Copy, Debug)]
pub struct AvgPool2d(pub Pool2dConfig);

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

pool!(MaxPool2d, ops::max_pool2d);
pool!(AvgPool2d, ops::avg_pool2d);
without_parts!(
    MaxPool2d => |pool, graph, x| graph.node("MaxPool", &[&x], window(&pool.0)),
    AvgPool2d => |pool, graph, x| {
        let mut attributes = window(&pool.0);
        attributes.push(Attribute::int("count_include_pad", 1));
        graph.node("AveragePool", &[&x], attributes)
    },
);

fn window(config: &Pool2dConfig) -> Vec<Attribute> {
    vec![
        Attribute::ints("kernel_shape", [config.kernel; 2]),
        Attribute::ints("strides", [config.stride; 2]),
        Attribute::ints("pads", [config.padding; 4]),
    ]
}
