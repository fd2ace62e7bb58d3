//! Layers with PyTorch's names and defaults. A network of one's own is a struct of layers, a
//! [`ModuleT`](candle_core::ModuleT) that says how they follow one another, and [`layers!`](crate::layers).
//!
//! ```
//! use carrel_training::prelude::*;
//!
//! struct Net { conv: Conv2d, out: Linear }
//!
//! impl ModuleT for Net {
//!     fn forward_t(&self, x: &Tensor, train: bool) -> candle_core::Result<Tensor> {
//!         let x = relu(&self.conv.forward_t(x, train)?)?.flatten_from(1)?;
//!         self.out.forward_t(&x, train)
//!     }
//! }
//! layers!(Net { conv, out });
//!
//! let net = Net { conv: Conv2d::new(1, 4, 3)?, out: Linear::new(4 * 26 * 26, 10)? };
//! assert_eq!(net.predict(&Tensor::zeros((2, 1, 28, 28), DType::F32, &Device::Cpu)?)?.dims(), [2, 10]);
//! # Ok::<(), candle_core::Error>(())
//! ```

mod activation;
mod attention;
mod conv;
mod conv_transpose;
mod dropout;
mod embedding;
mod layer;
mod linear;
mod norm;
mod pool;
mod recurrent;
mod residual;
mod sequential;

pub use activation::{Flatten, Gelu, LogSoftmax, Relu, Sigmoid, Silu, Softmax, Tanh};
pub use attention::MultiheadAttention;
pub use conv::{Conv1d, Conv2d};
pub use conv_transpose::ConvTranspose2d;
pub use dropout::{Dropout, Dropout2d};
pub use embedding::Embedding;
pub use layer::{Layer, Part, Parts, StateError, layers};
pub use linear::Linear;
pub use norm::{BatchNorm, GroupNorm, LayerNorm};
pub use pool::{AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d};
pub use recurrent::{Gru, Lstm};
pub use residual::Residual;
pub use sequential::Sequential;

use crate::onnx::graph::{Graph, OnnxError, Value};
use crate::random::weights;
use candle_core::{Result, Shape, Var};

/// PyTorch's default for weights and biases, with its numbers: uniform within 1 / sqrt(fan_in).
fn uniform(shape: impl Into<Shape>, fan_in: usize) -> Result<Var> {
    let bound = 1.0 / (fan_in.max(1) as f64).sqrt();
    Var::from_tensor(&weights(bound, shape)?)
}

/// Adds to an ONNX graph the bias of a layer that has one.
fn export_bias(
    graph: &mut Graph,
    bias: Option<&Var>,
) -> std::result::Result<Option<Value>, OnnxError> {
    bias.map(|bias| graph.initializer("bias", bias)).transpose()
}

/// The parts of a layer that is a weight, with a bias or without.
fn weighted<'a>(parts: &mut Parts<'a>, weight: &'a Var, bias: Option<&'a Var>) {
    parts.parameter("weight", weight);
    if let Some(bias) = bias {
        parts.parameter("bias", bias);
    }
}

/// Changes these parts.
fn map_weighted(
    weight: &mut Var,
    bias: &mut Option<Var>,
    change: &mut dyn FnMut(&Var) -> Result<Var>,
) -> Result<()> {
    *weight = change(weight)?;
    *bias = bias.as_ref().map(change).transpose()?;
    Ok(())
}
