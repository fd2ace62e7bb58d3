//! Networks as ONNX models: `onnx::export(&net, (1, 28, 28), "net.onnx")?`.

pub(crate) mod graph;

use std::fs;
use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device, Shape, Tensor};

pub use graph::{Attribute, Graph, OnnxError, Value};

use crate::files;
use crate::nn::{Layer, Part};

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
    let input = network.input_dtype().unwrap_or(dtype);
    let input = Tensor::zeros(batch.as_slice(), input, &device);
    let both = input.and_then(|input| Ok((network.predict(&input)?, input)));
    let (output, input) = both.map_err(|source| OnnxError::Input {
        shape: item,
        source,
    })?;
    let mut graph = Graph::default();
    let last = network.to_onnx(&mut graph, Value::input(batch.len()))?;
    graph.into_model(&last, &input, &output)
}

/// The type and the place of a network's parameters.
pub(crate) fn of_network(network: &dyn Layer) -> (DType, Device) {
    let var = network
        .named_parts()
        .into_iter()
        .find_map(|(_, part)| match part {
            Part::Parameter(var) => Some((var.dtype(), var.device().clone())),
            _ => None,
        });
    var.unwrap_or((DType::F32, Device::Cpu))
}
