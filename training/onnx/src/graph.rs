//! A graph that is built operator by operator.

use std::collections::HashMap;

use crate::proto::{AttributeProto, NodeProto, TensorProto};

pub(crate) const INPUT: &str = "input";
pub(crate) const OUTPUT: &str = "output";

/// What a tensor consists of: `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    F32 = 1,
    U8 = 2,
    I32 = 6,
    I64 = 7,
    F16 = 10,
    F64 = 11,
    U32 = 12,
    Bf16 = 16,
}

/// A tensor within the graph.
#[derive(Clone, Debug)]
pub struct Value {
    name: String,
    rank: usize,
}

impl Value {
    /// What the model takes.
    pub fn input(rank: usize) -> Self {
        let name = INPUT.to_owned();
        Self { name, rank }
    }

    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The same tensor in another rank.
    #[must_use]
    pub fn of_rank(self, rank: usize) -> Self {
        Self { rank, ..self }
    }
}

/// What a model is built with.
#[derive(Debug, Default)]
pub struct Graph {
    /// The names of the layers that are being added, one in the other, each with a dot.
    path: Vec<String>,
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) initializers: Vec<TensorProto>,
    /// How many nodes there are of an operator.
    counts: HashMap<String, usize>,
}

impl Graph {
    /// Puts a layer's name before those of the tensors that follow, until [`Self::leave`].
    pub fn enter(&mut self, layer: &str) {
        self.path.push(format!("{layer}."));
    }

    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// A tensor that is part of the model: its bytes row by row, each number with the lowest byte first.
    pub fn initializer(
        &mut self,
        name: &str,
        element: Element,
        dims: &[usize],
        raw_data: Vec<u8>,
    ) -> Value {
        let name = self.named(name);
        self.initializers.push(TensorProto {
            dims: dims.iter().map(|dim| *dim as i64).collect(),
            data_type: element as i32,
            name: name.clone(),
            raw_data,
        });
        let rank = dims.len();
        Value { name, rank }
    }

    /// An operator of ONNX over tensors; what it gives has the rank of the first.
    pub fn node(&mut self, operator: &str, inputs: &[&Value], attributes: Vec<Attribute>) -> Value {
        let count = self.counts.entry(operator.to_owned()).or_default();
        *count += 1;
        let name = format!("{operator}_{count}");
        let name = self.named(&name);
        self.push(operator, inputs, attributes, name.clone());
        let rank = inputs.first().map_or(0, |input| input.rank);
        Value { name, rank }
    }

    pub(crate) fn push(
        &mut self,
        operator: &str,
        inputs: &[&Value],
        attributes: Vec<Attribute>,
        output: String,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|input| input.name.clone()).collect(),
            name: output.clone(),
            output: vec![output],
            op_type: operator.to_owned(),
            attribute: attributes
                .into_iter()
                .map(|attribute| attribute.0)
                .collect(),
        });
    }

    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.path.concat())
    }
}

/// An attribute of a node.
#[derive(Debug)]
pub struct Attribute(AttributeProto);

impl Attribute {
    pub fn float(name: &str, value: f64) -> Self {
        Self(AttributeProto {
            name: name.into(),
            f: value as f32,
            r#type: 1,
            ..AttributeProto::default()
        })
    }

    pub fn int(name: &str, value: i64) -> Self {
        Self(AttributeProto {
            name: name.into(),
            i: value,
            r#type: 2,
            ..AttributeProto::default()
        })
    }

    pub fn ints(name: &str, values: impl IntoIterator<Item = usize>) -> Self {
        Self(AttributeProto {
            name: name.into(),
            ints: values.into_iter().map(|value| value as i64).collect(),
            r#type: 7,
            ..AttributeProto::default()
        })
    }
}
