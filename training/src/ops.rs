//! Differentiable operations: by hand for f32 and f64 on the CPU, from candle's own operations everywhere else.

mod attention;
mod avg_pool2d;
mod conv2d;
mod conv2d_pool;
mod conv_transpose2d;
mod dropout;
pub(crate) mod early;
mod elementwise;
mod embedding;
mod linear;
mod loss;
mod max_pool2d;
mod norm;
mod pool2d;
pub mod portable;
mod recurrent;
mod softmax;
mod window;

pub use attention::{attention, scaled_dot_product_attention, self_attention};
pub use avg_pool2d::{adaptive_avg_pool2d, avg_pool1d, avg_pool2d};
use candle_core::{DType, Tensor};
pub use conv_transpose2d::{ConvTranspose2dConfig, conv_transpose2d};
pub use conv2d::{Conv1dConfig, Conv2dConfig, conv1d, conv2d};
pub use conv2d_pool::conv2d_max_pool2d_relu;
pub use dropout::{dropout, dropout2d, mask};
pub use elementwise::{gelu, relu, sigmoid};
pub use embedding::embedding;
pub use linear::{Then, linear};
pub use loss::{cross_entropy, l1_loss, mse_loss, nll_loss};
pub use max_pool2d::{max_pool1d, max_pool2d, max_pool2d_relu};
pub use norm::{Normalized, batch_norm, batch_norm_then, group_norm, layer_norm};
pub use pool2d::{Pool1dConfig, Pool2dConfig};
pub use recurrent::{Cell, recurrent};
pub use softmax::{log_softmax, softmax};

/// Whether the operations of this crate compute with these tensors; else [`portable`] does.
fn ours(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| {
        tensor.device().is_cpu()
            && matches!(tensor.dtype(), DType::F32 | DType::F64)
            && tensor.dtype() == tensors[0].dtype()
    })
}
