//! A table of vectors by number.

use super::{Layer, Parts};
use crate::onnx::graph::{Attribute, Graph, OnnxError, Value};
use crate::ops;
use crate::random::normal;
use candle_core::{DType, Module, Result, Tensor, Var, bail};

/// The vector of each id: ids (.., whole numbers below the number of vectors) become (.., d).
#[derive(Clone, Debug)]
pub struct Embedding {
    /// (vectors, d), from the standard normal distribution.
    pub weight: Var,
    /// The vector that stays as it is: zeros, unless its values are set.
    pub padding_idx: Option<usize>,
}

impl Embedding {
    /// Of so many vectors, each of `width` numbers.
    ///
    /// # Errors
    /// When candle refuses the shape.
    pub fn new(vectors: usize, width: usize) -> Result<Self> {
        Ok(Self {
            weight: Var::from_tensor(&normal((vectors, width))?)?,
            padding_idx: None,
        })
    }

    /// The vector of this id is made of zeros, and gets no gradient.
    ///
    /// # Errors
    /// When there is no such vector.
    pub fn padding_idx(mut self, id: usize) -> Result<Self> {
        let (vectors, width) = self.weight.dims2()?;
        if id >= vectors {
            bail!("Embedding: padding_idx {id} is none of {vectors} vectors")
        }
        let zeros = Tensor::zeros((1, width), self.weight.dtype(), self.weight.device())?;
        self.weight.slice_set(&zeros, 0, id)?;
        self.padding_idx = Some(id);
        Ok(self)
    }
}

impl Module for Embedding {
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        ops::embedding(ids, &self.weight, self.padding_idx)
    }
}

impl Layer for Embedding {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.parameter("weight", &self.weight);
    }

    fn map(&mut self, change: &mut dyn FnMut(&Var) -> Result<Var>) -> Result<()> {
        self.weight = change(&self.weight)?;
        Ok(())
    }

    fn input_dtype(&self) -> Option<DType> {
        Some(DType::I64)
    }

    fn to_onnx(&self, graph: &mut Graph, x: Value) -> std::result::Result<Value, OnnxError> {
        let weight = graph.initializer("weight", &self.weight)?;
        let rank = x.rank() + 1;
        let y = graph.node("Gather", &[&weight, &x], vec![Attribute::int("axis", 0)]);
        Ok(y.of_rank(rank))
    }
}
