//! The transposed convolution over two dimensions.

use super::conv::check_groups;
use super::{Layer, Parts, export_bias, map_weighted, uniform, weighted};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops::{self, ConvTranspose2dConfig};
use candle_core::{Module, Result, Tensor, Var};

/// Over (n, in, h, w), with a square kernel; a stride makes planes larger by that factor.
#[derive(Clone, Debug)]
pub struct ConvTranspose2d {
    /// (in, out / groups, k, k)
    pub weight: Var,
    /// (out)
    pub bias: Option<Var>,
    pub config: ConvTranspose2dConfig,
}

impl ConvTranspose2d {
    /// # Errors
    /// When candle refuses the shape.
    pub fn new(inner: usize, out: usize, kernel: usize) -> Result<Self> {
        Self::with(inner, out, kernel, ConvTranspose2dConfig::default())
    }

    /// With stride, paddings, dilation and groups.
    ///
    /// # Errors
    /// When the groups do not divide the channels.
    pub fn with(
        inner: usize,
        out: usize,
        kernel: usize,
        config: ConvTranspose2dConfig,
    ) -> Result<Self> {
        let groups = config.groups;
        check_groups("ConvTranspose2d", groups, inner, out)?;
        // PyTorch counts those of the second dimension here too.
        let fan_in = out / groups * kernel * kernel;
        Ok(Self {
            weight: uniform((inner, out / groups, kernel, kernel), fan_in)?,
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
    pub fn output_padding(mut self, padding: usize) -> Self {
        self.config.output_padding = padding;
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

impl Module for ConvTranspose2d {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::conv_transpose2d(x, &self.weight, self.bias.as_deref(), &self.config)
    }
}

impl Layer for ConvTranspose2d {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        weighted(parts, &self.weight, self.bias.as_ref());
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        map_weighted(&mut self.weight, &mut self.bias, change)
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let ConvTranspose2dConfig {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
        } = self.config;
        let attributes = vec![
            Attribute::ints("kernel_shape", self.weight.dims()[2..].iter().copied()),
            Attribute::ints("strides", [stride; 2]),
            Attribute::ints("pads", [padding; 4]),
            Attribute::ints("output_padding", [output_padding; 2]),
            Attribute::ints("dilations", [dilation; 2]),
            Attribute::int("group", groups as i64),
        ];
        let weight = graph.initializer("weight", &self.weight)?;
        let bias = export_bias(graph, self.bias.as_ref())?;
        let inputs: Vec<&Value> = [&x, &weight].into_iter().chain(&bias).collect();
        Ok(graph.node("ConvTranspose", &inputs, attributes))
    }
}
