//! Networks as ONNX models: `onnx::export(&net, (1, 28, 28), "net.onnx")?`.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Shape, Tensor};
use prost::Message;

use crate::files;
use crate::nn::{Layer, Part};
use proto::{
    AttributeProto, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

mod proto;

/// Of ONNX 1.15, the first with `Gelu`.
const OPSET: i64 = 20;
const IR_VERSION: i64 = 9;
/// Protocol Buffers hold no more.
const MOST_BYTES: usize = i32::MAX as usize;
const INPUT: &str = "input";
const OUTPUT: &str = "output";

#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    #[error(
        "{0} does not say how it is exported: build the network with `sequential!`, or give `layers!` a method \
         `to_onnx` for it"
    )]
    Layer(String),
    #[error("ONNX has no counterpart here of tensors of {0:?}")]
    DType(DType),
    #[error("the model has {0} bytes, and an ONNX file holds 2 GiB at most")]
    TooLarge(usize),
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the network does not take items of {shape:?}: {source}")]
    Input {
        shape: Shape,
        source: candle_core::Error,
    },
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// A tensor within the graph.
#[derive(Clone, Debug)]
pub struct Value {
    name: String,
    rank: usize,
}

impl Value {
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The same tensor in another rank.
    #[must_use]
    pub fn of_rank(self, rank: usize) -> Self {
        Self { rank, ..self }
    }
}

/// What a graph is built with.
#[derive(Debug, Default)]
pub struct Graph {
    prefix: String,
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    /// How many nodes there are of an operator.
    counts: HashMap<String, usize>,
}

/// Writes a network as it is in use, without dropout, into a file. `item` is the shape of one input without the batch,
/// which may have any size: the model takes `input` and gives `output`.
///
/// ```
/// # use carrel_training::prelude::*;
/// # let folder = tempfile::tempdir()?;
/// # std::env::set_current_dir(&folder)?;
/// let net = sequential![Flatten, Linear::new(28 * 28, 10)?, Softmax];
/// onnx::export(&net, (1, 28, 28), "net.onnx")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A network of one's own says how it is exported after its list of layers:
///
/// ```
/// # use carrel_training::prelude::*;
/// use carrel_training::onnx::{Graph, OnnxError, Value};
///
/// struct Net { inner: Linear, outer: Linear }
///
/// impl ModuleT for Net {
///     fn forward_t(&self, x: &Tensor, _train: bool) -> candle_core::Result<Tensor> {
///         self.outer.forward(&relu(&self.inner.forward(x)?)?)
///     }
/// }
///
/// layers!(Net { inner, outer }
///     fn to_onnx(&self, graph: &mut Graph, x: Value) -> Result<Value, OnnxError> {
///         let x = graph.layer("inner", &self.inner, x)?;
///         let x = graph.layer("relu", &Relu, x)?;
///         graph.layer("outer", &self.outer, x)
///     }
/// );
/// # let net = Net { inner: Linear::new(3, 2)?, outer: Linear::new(2, 1)? };
/// # assert!(onnx::encode(&net, 3)?.len() > 40);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When a layer cannot be exported, `item` does not fit, or the file cannot be written; what was there before stays then.
pub fn export(
    network: &dyn Layer,
    item: impl Into<Shape>,
    path: impl AsRef<Path>,
) -> Result<(), OnnxError> {
    let bytes = encode(network, item)?;
    let path = path.as_ref();
    let write = |file: &mut fs::File| {
        file.write_all(&bytes)?;
        file.sync_all()
    };
    files::replace(path, write).map_err(|source| OnnxError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The bytes of such a file.
///
/// # Errors
/// As those of [`export`].
pub fn encode(network: &dyn Layer, item: impl Into<Shape>) -> Result<Vec<u8>, OnnxError> {
    let item = item.into();
    let (dtype, device) = of_network(network);
    let batch: Vec<usize> = std::iter::once(1)
        .chain(item.dims().iter().copied())
        .collect();
    let output = Tensor::zeros(batch.as_slice(), dtype, &device)
        .and_then(|zeros| network.predict(&zeros))
        .map_err(|source| OnnxError::Input {
            shape: item,
            source,
        })?;
    let mut graph = Graph::default();
    let input = Value {
        name: INPUT.into(),
        rank: batch.len(),
    };
    let last = network.to_onnx(&mut graph, input)?;
    graph.push("Identity", &[&last], Vec::new(), OUTPUT.into());
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: "carrel".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(GraphProto {
            node: graph.nodes,
            name: "network".into(),
            initializer: graph.initializers,
            input: vec![value_info(INPUT, dtype, &batch)?],
            output: vec![value_info(OUTPUT, output.dtype(), output.dims())?],
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: OPSET,
        }],
    };
    match model.encoded_len() {
        bytes if bytes > MOST_BYTES => Err(OnnxError::TooLarge(bytes)),
        _ => Ok(model.encode_to_vec()),
    }
}

impl Graph {
    /// An inner layer, whose tensors have its name before theirs.
    ///
    /// # Errors
    /// Those of the layer.
    pub fn layer(&mut self, name: &str, layer: &dyn Layer, x: Value) -> Result<Value, OnnxError> {
        let length = self.prefix.len();
        self.prefix.push_str(name);
        self.prefix.push('.');
        let y = layer.to_onnx(self, x);
        self.prefix.truncate(length);
        y
    }

    /// A tensor that is part of the model.
    ///
    /// # Errors
    /// When its type is none of ONNX, or the device is lost.
    pub fn initializer(&mut self, name: &str, tensor: &Tensor) -> Result<Value, OnnxError> {
        let name = format!("{}{name}", self.prefix);
        let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
        let mut raw_data = Vec::new();
        flat.contiguous()?.write_bytes(&mut raw_data)?;
        self.initializers.push(TensorProto {
            dims: tensor.dims().iter().map(|dim| *dim as i64).collect(),
            data_type: data_type(tensor.dtype())?,
            name: name.clone(),
            raw_data,
        });
        let rank = tensor.rank();
        Ok(Value { name, rank })
    }

    /// An operator of ONNX over tensors; what it gives has the rank of the first.
    pub fn node(&mut self, operator: &str, inputs: &[&Value], attributes: Vec<Attribute>) -> Value {
        let count = self.counts.entry(operator.to_owned()).or_default();
        *count += 1;
        let name = format!("{}{operator}_{count}", self.prefix);
        self.push(operator, inputs, attributes, name.clone());
        let rank = inputs.first().map_or(0, |input| input.rank);
        Value { name, rank }
    }

    fn push(
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

/// The type and the place of a network's parameters.
fn of_network(network: &dyn Layer) -> (DType, Device) {
    let var = network
        .named_parts()
        .into_iter()
        .find_map(|(_, part)| match part {
            Part::Parameter(var) => Some((var.dtype(), var.device().clone())),
            _ => None,
        });
    var.unwrap_or((DType::F32, Device::Cpu))
}

/// `TensorProto.DataType`
fn data_type(dtype: DType) -> Result<i32, OnnxError> {
    match dtype {
        DType::F32 => Ok(1),
        DType::U8 => Ok(2),
        DType::I32 => Ok(6),
        DType::I64 => Ok(7),
        DType::F16 => Ok(10),
        DType::F64 => Ok(11),
        DType::U32 => Ok(12),
        DType::BF16 => Ok(16),
        other => Err(OnnxError::DType(other)),
    }
}

/// Of any batch size.
fn value_info(name: &str, dtype: DType, dims: &[usize]) -> Result<ValueInfoProto, OnnxError> {
    let batch = proto::Value::DimParam("batch".into());
    let rest = dims
        .iter()
        .skip(1)
        .map(|dim| proto::Value::DimValue(*dim as i64));
    let dim = std::iter::once(batch)
        .chain(rest)
        .map(|value| Dimension { value: Some(value) });
    Ok(ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: data_type(dtype)?,
                shape: Some(TensorShapeProto { dim: dim.collect() }),
            }),
        }),
    })
}
