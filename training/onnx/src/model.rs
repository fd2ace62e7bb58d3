//! A whole model: a graph with what it takes and gives.

use prost::Message;

use crate::graph::{Element, Graph, INPUT, OUTPUT, Value};
use crate::proto::{
    self, Dimension, GraphProto, ModelProto, OperatorSetIdProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};

/// Of ONNX 1.15, the first with `Gelu`.
const OPSET: i64 = 20;
const IR_VERSION: i64 = 9;
/// Protocol Buffers hold no more.
const MOST_BYTES: usize = i32::MAX as usize;

#[derive(Debug, thiserror::Error)]
#[error("the model has {0} bytes, and an ONNX file holds 2 GiB at most")]
pub struct TooLarge(pub usize);

/// A tensor that a model takes or gives. The first dimension is that of the batch, which may have any size.
#[derive(Clone, Copy, Debug)]
pub struct TensorType<'a> {
    pub element: Element,
    pub dims: &'a [usize],
}

impl Graph {
    /// The bytes of a model that takes [`Value::input`], named `input`, and gives `last`, named `output`.
    ///
    /// # Errors
    /// When they are more than a file holds.
    pub fn into_model(
        mut self,
        last: &Value,
        input: TensorType<'_>,
        output: TensorType<'_>,
    ) -> Result<Vec<u8>, TooLarge> {
        self.push("Identity", &[last], Vec::new(), OUTPUT.into());
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "carrel".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(GraphProto {
                node: self.nodes,
                name: "network".into(),
                initializer: self.initializers,
                input: vec![value_info(INPUT, input)],
                output: vec![value_info(OUTPUT, output)],
            }),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
        };
        match model.encoded_len() {
            bytes if bytes > MOST_BYTES => Err(TooLarge(bytes)),
            _ => Ok(model.encode_to_vec()),
        }
    }
}

fn value_info(name: &str, tensor: TensorType<'_>) -> ValueInfoProto {
    let batch = proto::Value::DimParam("batch".into());
    let rest = tensor
        .dims
        .iter()
        .skip(1)
        .map(|dim| proto::Value::DimValue(*dim as i64));
    let dim = std::iter::once(batch)
        .chain(rest)
        .map(|value| Dimension { value: Some(value) });
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: tensor.element as i32,
                shape: Some(TensorShapeProto { dim: dim.collect() }),
            }),
        }),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::TensorType;
    use crate::proto::{ModelProto, Value as Dim};
    use crate::{Attribute, Element, Graph, TooLarge, Value};

    #[test]
    fn names_tell_the_layers_and_the_batch_has_any_size() -> Result<(), TooLarge> {
        let mut graph = Graph::default();
        graph.enter("outer");
        graph.enter("0");
        let weight = graph.initializer("weight", Element::F32, &[1, 2], vec![0; 8]);
        let x = Value::input(2);
        let y = graph.node("Gemm", &[&x, &weight], vec![Attribute::int("transB", 1)]);
        graph.leave();
        let y = graph.node("Relu", &[&y], vec![]);
        graph.leave();
        let dims = |dims| TensorType {
            element: Element::F32,
            dims,
        };
        let bytes = graph.into_model(&y, dims(&[1, 2]), dims(&[1, 1]))?;
        let graph = ModelProto::decode(&*bytes).unwrap_or_default().graph;
        let graph = graph.unwrap_or_default();
        let nodes: Vec<_> = graph.node.iter().map(|node| &*node.name).collect();
        assert_eq!(nodes, ["outer.0.Gemm_1", "outer.Relu_1", "output"]);
        assert_eq!(graph.node[0].input, ["input", "outer.0.weight"]);
        let r#type = graph.input[0].r#type.clone().unwrap_or_default();
        let shape = r#type.tensor_type.unwrap_or_default().shape;
        let dims = shape.unwrap_or_default().dim.into_iter();
        let dims: Vec<_> = dims.filter_map(|dim| dim.value).collect();
        assert_eq!(dims, [Dim::DimParam("batch".into()), Dim::DimValue(2)]);
        Ok(())
    }
}
