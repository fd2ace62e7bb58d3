//! Attention over a sequence, with several heads.

use super::{Layer, Linear, Parts};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops::{self, Then};
use crate::random::weights;
use candle_core::{DType, Device, Module, Result, Tensor, Var, bail};

/// As `torch.nn.MultiheadAttention` with `batch_first=True`: (n, l, width) to the same. As a layer it takes queries, keys and
/// values from one sequence; [`MultiheadAttention::attend`] takes them from three.
#[derive(Clone, Debug)]
pub struct MultiheadAttention {
    /// (3 width, width): of queries, keys and values.
    pub in_proj_weight: Var,
    /// (3 width)
    pub in_proj_bias: Option<Var>,
    pub out_proj: Linear,
    pub heads: usize,
    pub causal: bool,
}

impl MultiheadAttention {
    /// # Errors
    /// When the heads do not divide the width.
    pub fn new(width: usize, heads: usize) -> Result<Self> {
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            bail!("MultiheadAttention: {heads} heads do not divide a width of {width}")
        }
        // In PyTorch's order of draws.
        let out_proj = Linear::new(width, width)?;
        let zeros = |len: usize| Var::zeros(len, DType::F32, &Device::Cpu);
        let bound = (6.0 / (4 * width) as f64).sqrt();
        Ok(Self {
            in_proj_weight: Var::from_tensor(&weights(bound, (3 * width, width))?)?,
            in_proj_bias: Some(zeros(3 * width)?),
            out_proj: Linear {
                bias: Some(zeros(width)?),
                ..out_proj
            },
            heads,
            causal: false,
        })
    }

    /// Each place sees itself and those before it.
    #[must_use]
    pub fn causal(mut self) -> Self {
        self.causal = true;
        self
    }

    /// The same without biases.
    #[must_use]
    pub fn without_bias(mut self) -> Self {
        self.in_proj_bias = None;
        self.out_proj.bias = None;
        self
    }

    /// The values (n, s, width) at each place of the queries (n, l, width), by how well the keys (n, s, width) fit these.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn attend(&self, queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
        let part = |at, x: &Tensor| {
            let (weight, bias) = self.part(at)?;
            ops::linear(x, &weight, bias.as_ref(), Then::default())
        };
        let (q, k, v) = (part(0, queries)?, part(1, keys)?, part(2, values)?);
        self.out_proj
            .forward(&ops::attention(&q, &k, &v, self.heads, self.causal)?)
    }

    /// The weight and bias of queries (0), keys (1) or values (2).
    fn part(&self, at: usize) -> Result<(Tensor, Option<Tensor>)> {
        let width = self.in_proj_weight.dim(1)?;
        let part = |var: &Var| var.narrow(0, at * width, width);
        let bias = self.in_proj_bias.as_ref().map(part).transpose()?;
        Ok((part(&self.in_proj_weight)?, bias))
    }

    /// Queries, keys or values in ONNX, of the heads: (n, heads, l, width of one).
    fn export_part(
        &self,
        graph: &mut Graph,
        x: &Value,
        (at, name): (usize, &str),
        order: [usize; 4],
    ) -> std::result::Result<Value, OnnxError> {
        let (weight, bias) = self.part(at)?;
        graph.within(name, |graph| {
            let weight = graph.initializer("weight", &weight.t()?)?;
            let mut y = graph.node("MatMul", &[x, &weight], vec![]);
            if let Some(bias) = bias {
                let bias = graph.initializer("bias", &bias)?;
                y = graph.node("Add", &[&y, &bias], vec![]);
            }
            let heads = self.heads as i64;
            let width = self.in_proj_weight.dim(1)? as i64 / heads;
            // 0 leaves a size as it is.
            let shape = Tensor::new(&[0, 0, heads, width], &Device::Cpu)?;
            let shape = graph.initializer("shape", &shape)?;
            let y = graph.node("Reshape", &[&y, &shape], vec![]);
            Ok(graph.node("Transpose", &[&y], vec![Attribute::ints("perm", order)]))
        })
    }

    /// Scores without what a place does not see.
    fn export_mask(
        &self,
        graph: &mut Graph,
        scores: Value,
    ) -> std::result::Result<Value, OnnxError> {
        if !self.causal {
            return Ok(scores);
        }
        let (one, far) = (
            Tensor::new(&[1f32], &Device::Cpu)?,
            Tensor::new(&[1e30f32], &Device::Cpu)?,
        );
        let dtype = self.in_proj_weight.dtype();
        let first = graph.initializer("first", &Tensor::new(1i64, &Device::Cpu)?)?;
        let far = graph.initializer("far", &far.to_dtype(dtype)?)?;
        let shape = graph.node("Shape", &[&scores], vec![]);
        let one = graph.initializer("one", &one.to_dtype(dtype)?)?;
        let ones = graph.node("Expand", &[&one, &shape], vec![]);
        let later = graph.node("Trilu", &[&ones, &first], vec![Attribute::int("upper", 1)]);
        let later = graph.node("Mul", &[&later, &far], vec![]);
        Ok(graph.node("Sub", &[&scores, &later], vec![]))
    }
}

impl Module for MultiheadAttention {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.in_proj_bias.as_deref();
        let qkv = ops::linear(x, &self.in_proj_weight, bias, Then::default())?;
        self.out_proj
            .forward(&ops::self_attention(&qkv, self.heads, self.causal)?)
    }
}

impl Layer for MultiheadAttention {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.parameter("in_proj_weight", &self.in_proj_weight);
        if let Some(bias) = &self.in_proj_bias {
            parts.parameter("in_proj_bias", bias);
        }
        parts.layer("out_proj", &self.out_proj);
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        super::map_weighted(&mut self.in_proj_weight, &mut self.in_proj_bias, change)?;
        self.out_proj.map(change)
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let rows = [0, 2, 1, 3];
        let q = self.export_part(graph, &x, (0, "q"), rows)?;
        let k = self.export_part(graph, &x, (1, "k"), [0, 2, 3, 1])?;
        let v = self.export_part(graph, &x, (2, "v"), rows)?;
        let width = self.in_proj_weight.dim(1)?;
        let scale = Tensor::new(((width / self.heads) as f64).sqrt().recip(), &Device::Cpu)?;
        let scale = graph.initializer("scale", &scale.to_dtype(self.in_proj_weight.dtype())?)?;
        let scores = graph.node("MatMul", &[&q, &k], vec![]);
        let scores = graph.node("Mul", &[&scores, &scale], vec![]);
        let scores = self.export_mask(graph, scores)?;
        let shares = graph.node("Softmax", &[&scores], vec![Attribute::int("axis", -1)]);
        let y = graph.node("MatMul", &[&shares, &v], vec![]);
        let y = graph.node("Transpose", &[&y], vec![Attribute::ints("perm", rows)]);
        let shape =
            graph.initializer("shape", &Tensor::new(&[0, 0, width as i64], &Device::Cpu)?)?;
        let y = graph
            .node("Reshape", &[&y, &shape], vec![])
            .of_rank(x.rank());
        graph.layer("out_proj", &self.out_proj, y)
    }
}
