//! Convolutions over one and two dimensions.

use super::{Layer, Parts, export_bias, map_weighted, uniform, weighted};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops::{self, Conv2dConfig};
use candle_core::{Module, Result, Tensor, Var, bail};

macro_rules! conv {
    ($(#[$text:meta])* $layer:ident, $axes:literal, $op:path) => {
        $(#[$text])*
        #[derive(Clone, Debug)]
        pub struct $layer {
            /// (out, in / groups, k), or with k once for each dimension.
            pub weight: Var,
            /// (out)
            pub bias: Option<Var>,
            pub config: Conv2dConfig,
        }

        impl $layer {
            /// # Errors
            /// When candle refuses the shape.
            pub fn new(inner: usize, out: usize, kernel: usize) -> Result<Self> {
                Self::with(inner, out, kernel, Conv2dConfig::default())
            }

            /// With stride, padding, dilation and groups.
            ///
            /// # Errors
            /// When the groups do not divide the channels.
            pub fn with(
                inner: usize,
                out: usize,
                kernel: usize,
                config: Conv2dConfig,
            ) -> Result<Self> {
                let groups = config.groups;
                check_groups(stringify!($layer), groups, inner, out)?;
                let shape = [vec![out, inner / groups], vec![kernel; $axes]].concat();
                let fan_in = shape[1..].iter().product();
                Ok(Self {
                    weight: uniform(shape, fan_in)?,
                    bias: Some(uniform(out, fan_in)?),
                    config,
                })
            }

            #[must_use]
            pub fn stride(mut self, stride: usize) -> Self {
                self.config.stride = stride;
                self
            }

            #[must_use]
            pub fn padding(mut self, padding: usize) -> Self {
                self.config.padding = padding;
                self
            }

            #[must_use]
            pub fn dilation(mut self, dilation: usize) -> Self {
                self.config.dilation = dilation;
                self
            }

            /// The same without a bias.
            #[must_use]
            pub fn without_bias(mut self) -> Self {
                self.bias = None;
                self
            }
        }

        impl Module for $layer {
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                $op(x, &self.weight, self.bias.as_deref(), &self.config)
            }
        }

        impl Layer for $layer {
            fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
                weighted(parts, &self.weight, self.bias.as_ref());
            }

            fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
                map_weighted(&mut self.weight, &mut self.bias, change)
            }

            fn to_onnx(
                &self,
                graph: &mut Graph,
                x: Value,
            ) -> std::result::Result<Value, OnnxError> {
                let attributes = attributes::<$axes>(&self.weight, &self.config);
                let weight = graph.initializer("weight", &self.weight)?;
                let bias = export_bias(graph, self.bias.as_ref())?;
                let inputs: Vec<&Value> = [&x, &weight].into_iter().chain(&bias).collect();
                Ok(graph.node("Conv", &inputs, attributes))
            }
        }
    };
}

/// # Errors
/// When the groups do not divide the channels.
pub(super) fn check_groups(layer: &str, groups: usize, inner: usize, out: usize) -> Result<()> {
    if groups == 0 || !inner.is_multiple_of(groups) || !out.is_multiple_of(groups) {
        bail!("{layer}: {groups} groups do not divide {inner} channels in and {out} out")
    }
    Ok(())
}

conv!(
    /// Over (n, in, l), of a sequence.
    Conv1d,
    1,
    ops::conv1d
);
conv!(
    /// Over (n, in, h, w), with a square kernel.
    Conv2d,
    2,
    ops::conv2d
);

fn attributes<const AXES: usize>(weight: &Var, config: &Conv2dConfig) -> Vec<Attribute> {
    let Conv2dConfig {
        stride,
        padding,
        dilation,
        groups,
    } = *config;
    vec![
        Attribute::ints("kernel_shape", weight.dims()[2..].iter().copied()),
        Attribute::ints("strides", [stride; AXES]),
        Attribute::ints("pads", std::iter::repeat_n(padding, 2 * AXES)),
        Attribute::ints("dilations", [dilation; AXES]),
        Attribute::int("group", groups as i64),
    ]
}
