//! ONNX files with what an export of ours never has: attributes that are tensors or graphs, and types of values in between.

use std::path::Path;

use carrel_onnx::proto::{OperatorSetIdProto, TensorProto, ValueInfoProto};
use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSetIdProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Node {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub op_type: String,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "3")]
    pub i: i64,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    #[prost(message, optional, tag = "6")]
    pub g: Option<Graph>,
    /// `AttributeProto.AttributeType`
    #[prost(int32, tag = "20")]
    pub r#type: i32,
}

/// A node by the name of its result.
pub fn node(operator: &str, input: &[&str], output: &str) -> Node {
    Node {
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: operator.into(),
        attribute: Vec::new(),
    }
}

impl Node {
    pub fn number(self, name: &str, i: i64) -> Self {
        self.with(Attribute {
            name: name.into(),
            i,
            r#type: 2,
            ..Attribute::default()
        })
    }

    pub fn tensor(self, name: &str, tensor: TensorProto) -> Self {
        self.with(Attribute {
            name: name.into(),
            t: Some(tensor),
            r#type: 4,
            ..Attribute::default()
        })
    }

    pub fn graph(self, name: &str, graph: Graph) -> Self {
        self.with(Attribute {
            name: name.into(),
            g: Some(graph),
            r#type: 5,
            ..Attribute::default()
        })
    }

    fn with(mut self, attribute: Attribute) -> Self {
        self.attribute.push(attribute);
        self
    }
}

pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    tensor(
        name,
        dims,
        1,
        values.iter().flat_map(|one| one.to_le_bytes()),
    )
}

pub fn doubles(name: &str, dims: &[i64], values: &[f64]) -> TensorProto {
    tensor(
        name,
        dims,
        11,
        values.iter().flat_map(|one| one.to_le_bytes()),
    )
}

pub fn integers(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    tensor(
        name,
        dims,
        7,
        values.iter().flat_map(|one| one.to_le_bytes()),
    )
}

fn tensor(
    name: &str,
    dims: &[i64],
    data_type: i32,
    bytes: impl Iterator<Item = u8>,
) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type,
        name: name.into(),
        raw_data: bytes.collect(),
    }
}

/// An ONNX file of this graph.
pub fn write(file: &Path, graph: Graph) {
    let model = Model {
        ir_version: 9,
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 20,
        }],
    };
    std::fs::write(file, model.encode_to_vec()).unwrap();
}
