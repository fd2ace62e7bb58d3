//! Differentiable operations: by hand for f32 and f64 on the CPU, from candle's own operations everywhere else.

mod conv2d;
mod dropout;
mod linear;
mod loss;
mod max_pool2d;
pub mod portable;
mod softmax;
mod window;

use candle_core::{DType, Tensor};
pub use conv2d::{Conv2dConfig, conv2d};
pub use dropout::{dropout, dropout2d};
pub use linear::{Then, linear};
pub use loss::{cross_entropy, nll_loss};
pub use max_pool2d::{Pool2dConfig, max_pool2d, max_pool2d_relu};
pub use softmax::{log_softmax, softmax};

/// Whether the operations of this crate compute with these tensors; else [`portable`] does.
fn ours(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| {
        tensor.device().is_cpu()
            && matches!(tensor.dtype(), DType::F32 | DType::F64)
            && tensor.dtype() == tensors[0].dtype()
    })
}
