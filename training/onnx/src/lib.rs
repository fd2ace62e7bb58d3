//! ONNX models as they are written: a graph of operators over named tensors, and its bytes. Knows no layer, and no tensor
//! but its bytes.
//!
//! The writer is ours because no crate offers one: candle-onnx reads and runs models, and needs protoc to be built. What
//! reads models takes the messages of [`proto`] too.

mod graph;
mod model;
pub mod proto;

pub use graph::{Attribute, Element, Graph, Value};
pub use model::{TensorType, TooLarge};
