//! Networks of ONNX files: loaded with their manifest by one of several engines, and run on tensors or pictures. Knows no
//! protocol and no repository.

mod engine;
mod engines;
mod error;
#[cfg(any(feature = "onnxruntime", feature = "rten"))]
mod graph;
mod heap;
mod manifest;
mod model;
#[cfg(any(feature = "onnxruntime", feature = "rten"))]
mod nodes;
#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "pictures")]
mod pictures;
#[cfg(feature = "rten")]
mod rten;
mod signature;
mod stop;
mod tensor;
#[cfg(any(feature = "onnxruntime", feature = "rten"))]
mod values;

pub use engine::{Choice, Engine, LoadOptions, Network};
pub use engines::Engines;
pub use error::Error;
pub use heap::{give_back_memory, share_heaps};
pub use manifest::{ChannelOrder, Filter, Fit, Labels, Layout, Manifest, Pictures};
pub use model::{MANIFEST, Model, PREDICT_IMAGES, SERVING_DEFAULT};
#[cfg(feature = "pictures")]
pub use pictures::Limits;
pub use signature::{Named, Signature, TensorSpec};
pub use stop::Stop;
pub use tensor::{Data, DataType, Element, Tensor, TensorError};
