//! Layers that normalize by mean and variance.

use super::{Layer, Parts};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops;
use candle_core::{DType, Device, Module, ModuleT, Result, Shape, Tensor, Var, bail};

/// PyTorch's default.
const EPS: f64 = 1e-5;
/// How much of a batch's moments the running ones take.
const MOMENTUM: f64 = 0.1;

/// Normalizes channels of (n, c, ..) over the batch: `BatchNorm1d`, `2d` and `3d` in one.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    pub weight: Var,
    pub bias: Var,
    pub running_mean: Var,
    /// Unbiased.
    pub running_var: Var,
    pub eps: f64,
    pub momentum: f64,
}

impl BatchNorm {
    /// # Errors
    /// When candle refuses the shape.
    pub fn new(channels: usize) -> Result<Self> {
        Ok(Self {
            weight: Var::ones(channels, DType::F32, &Device::Cpu)?,
            bias: Var::zeros(channels, DType::F32, &Device::Cpu)?,
            running_mean: Var::zeros(channels, DType::F32, &Device::Cpu)?,
            running_var: Var::ones(channels, DType::F32, &Device::Cpu)?,
            eps: EPS,
            momentum: MOMENTUM,
        })
    }

    /// With a tensor of the shape of `x` added, and a rectifier behind it, in one pass: the end of a residual block.
    ///
    /// # Errors
    /// When `x` or what is added does not fit.
    pub fn forward_then(
        &self,
        x: &Tensor,
        train: bool,
        add: Option<&Tensor>,
        relu: bool,
    ) -> Result<Tensor> {
        if train {
            return self.train(x, add, relu);
        }
        let y = self.normalize(x)?;
        let y = add.map_or(Ok(y.clone()), |add| y + add)?;
        if relu { ops::relu(&y) } else { Ok(y) }
    }

    fn train(&self, x: &Tensor, add: Option<&Tensor>, relu: bool) -> Result<Tensor> {
        let by = (self.weight.as_tensor(), self.bias.as_tensor());
        let normalized = ops::batch_norm_then(x, by, self.eps, add, relu)?;
        let count = (x.elem_count() / self.weight.elem_count()) as f64;
        let unbiased = (normalized.variance * (count / (count - 1.0).max(1.0)))?;
        self.keep(&self.running_mean, &normalized.mean)?;
        self.keep(&self.running_var, &unbiased)?;
        Ok(normalized.y)
    }

    fn keep(&self, running: &Var, new: &Tensor) -> Result<()> {
        running.set(&((running.as_tensor() * (1.0 - self.momentum))? + (new * self.momentum)?)?)
    }

    fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        let deviation = (self.running_var.as_detached_tensor() + self.eps)?.sqrt()?;
        let scale = (self.weight.as_tensor() / deviation)?;
        let mean = (self.running_mean.as_detached_tensor() * &scale)?;
        let shift = (self.bias.as_tensor() - mean)?;
        let mut shape = vec![1; x.rank()];
        if let Some(channels) = shape.get_mut(1) {
            *channels = scale.elem_count();
        }
        x.broadcast_mul(&scale.reshape(shape.as_slice())?)?
            .broadcast_add(&shift.reshape(shape.as_slice())?)
    }
}

impl ModuleT for BatchNorm {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.forward_then(x, train, None, false)
    }
}

impl Layer for BatchNorm {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.parameter("weight", &self.weight);
        parts.parameter("bias", &self.bias);
        parts.buffer("running_mean", &self.running_mean);
        parts.buffer("running_var", &self.running_var);
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        for var in [
            &mut self.weight,
            &mut self.bias,
            &mut self.running_mean,
            &mut self.running_var,
        ] {
            *var = change(var)?;
        }
        Ok(())
    }

    fn forward_relu(&self, x: &Tensor, train: bool) -> Option<Result<Tensor>> {
        Some(self.forward_then(x, train, None, true))
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let weight = graph.initializer("weight", &self.weight)?;
        let bias = graph.initializer("bias", &self.bias)?;
        let mean = graph.initializer("running_mean", &self.running_mean)?;
        let variance = graph.initializer("running_var", &self.running_var)?;
        let inputs = [&x, &weight, &bias, &mean, &variance];
        let attributes = vec![Attribute::float("epsilon", self.eps)];
        Ok(graph.node("BatchNormalization", &inputs, attributes))
    }
}

/// Normalizes groups of channels of each item of (n, c, ..).
#[derive(Clone, Debug)]
pub struct GroupNorm {
    /// (c)
    pub weight: Var,
    /// (c)
    pub bias: Var,
    pub groups: usize,
    pub eps: f64,
}

impl GroupNorm {
    /// # Errors
    /// When the groups do not divide the channels.
    pub fn new(groups: usize, channels: usize) -> Result<Self> {
        if groups == 0 || !channels.is_multiple_of(groups) {
            bail!("GroupNorm: {groups} groups do not divide {channels} channels")
        }
        Ok(Self {
            weight: Var::ones(channels, DType::F32, &Device::Cpu)?,
            bias: Var::zeros(channels, DType::F32, &Device::Cpu)?,
            groups,
            eps: EPS,
        })
    }
}

impl Module for GroupNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::group_norm(x, self.groups, &self.weight, &self.bias, self.eps)
    }
}

impl Layer for GroupNorm {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.parameter("weight", &self.weight);
        parts.parameter("bias", &self.bias);
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        self.weight = change(&self.weight)?;
        self.bias = change(&self.bias)?;
        Ok(())
    }

    /// ONNX's own of this name has weights of channels in a later version only: by its norm of single channels.
    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let (dtype, channels) = (self.weight.dtype(), self.weight.elem_count());
        let long = |values: &[i64]| Tensor::new(values, &Device::Cpu);
        let groups = graph.initializer("groups", &long(&[0, self.groups as i64, -1])?)?;
        let one = Tensor::ones(self.groups, dtype, &Device::Cpu)?;
        let zero = graph.initializer("zero", &one.zeros_like()?)?;
        let one = graph.initializer("one", &one)?;
        let eps = vec![Attribute::float("epsilon", self.eps)];
        let shape = graph.node("Shape", &[&x], vec![]);
        let y = graph.node("Reshape", &[&x, &groups], vec![]);
        let y = graph.node("InstanceNormalization", &[&y, &one, &zero], eps);
        let y = graph
            .node("Reshape", &[&y, &shape], vec![])
            .of_rank(x.rank());
        let mut column = vec![1; x.rank() - 1];
        column[0] = channels;
        let weight = graph.initializer("weight", &self.weight.reshape(column.as_slice())?)?;
        let bias = graph.initializer("bias", &self.bias.reshape(column.as_slice())?)?;
        let y = graph.node("Mul", &[&y, &weight], vec![]);
        Ok(graph.node("Add", &[&y, &bias], vec![]))
    }
}

/// Normalizes each item over its last dimensions.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    pub weight: Var,
    pub bias: Var,
    pub eps: f64,
}

impl LayerNorm {
    /// Over the last dimensions, of `shape`.
    ///
    /// # Errors
    /// When candle refuses the shape.
    pub fn new(shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        Ok(Self {
            weight: Var::ones(&shape, DType::F32, &Device::Cpu)?,
            bias: Var::zeros(&shape, DType::F32, &Device::Cpu)?,
            eps: EPS,
        })
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }
}

impl Layer for LayerNorm {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.parameter("weight", &self.weight);
        parts.parameter("bias", &self.bias);
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        self.weight = change(&self.weight)?;
        self.bias = change(&self.bias)?;
        Ok(())
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let weight = graph.initializer("weight", &self.weight)?;
        let bias = graph.initializer("bias", &self.bias)?;
        let attributes = vec![
            Attribute::int("axis", -(self.weight.rank() as i64)),
            Attribute::float("epsilon", self.eps),
        ];
        Ok(graph.node("LayerNormalization", &[&x, &weight, &bias], attributes))
    }
}
