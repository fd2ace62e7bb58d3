//! Tensors and training for notebook cells. Knows no notebook: how its values look is text and HTML.
//!
//! Operations on the CPU run on candle's threads: as many as `RAYON_NUM_THREADS` says when the first one runs, else one
//! for each core of the machine, also in a container that may use a few of them only. The cells of a notebook and
//! `carrel-train` set it to what they may use. Products of matrices use AVX-512 where the processor has it.
//!
//! # What candle does otherwise than PyTorch
//!
//! Tensors have candle's own methods too. In candle 0.11.1 these give other values or gradients than PyTorch; the layers and
//! operations of this crate do not use them. `tests/it/candle.rs` tells when a release mends one.
//!
//! | candle | is wrong | use |
//! |---|---|---|
//! | `Tensor::conv1d` | gradients to the kernel and, without padding, to `x`, where there are several items and several output channels | [`nn::Conv1d`], [`ops::conv1d()`] |
//! | `Tensor::conv_transpose1d` | has no gradient | |
//! | `Tensor::max_pool2d` | its gradient | [`nn::MaxPool2d`], [`ops::max_pool2d()`] |
//! | `Tensor::avg_pool2d` | its gradient where windows leave a rest | [`nn::AvgPool2d`], [`ops::avg_pool2d()`] |
//! | `candle_nn::ops::softmax_last_dim` | has no gradient | [`nn::Softmax`], [`ops::softmax`] |
//! | `Tensor::relu` | what is not a number becomes 0; the gradient at 0 is 1, PyTorch's is 0 | [`nn::Relu`], [`ops::relu`] |
//! | `Tensor::gelu_erf` | its gradient has six digits only | [`nn::Gelu`], [`ops::gelu`] |
//! | `Tensor::abs` | the gradient at 0 is 1, PyTorch's is 0 | [`ops::l1_loss`] |
//! | `Tensor::maximum`, `argmax` | pass over what is not a number | [`data::accuracy`] counts it as wrong |

mod cpu;
pub mod data;
mod files;
mod http;
pub mod job;
pub mod nn;
pub mod onnx;
pub mod ops;
pub mod optim;
pub mod parameter_servers;
mod programs;
pub mod random;
pub mod ranks;
pub mod recipes;
mod rows;
pub mod serving;
pub mod show;
pub mod strings;
pub mod trainer;

/// What a cell sees without `use`.
pub mod prelude {
    pub use candle_core::{self, D, DType, Device, IndexOp, Module, ModuleT, Shape, Tensor, Var};
    pub use candle_nn;

    #[cfg(feature = "images")]
    pub use crate::data::ImageFolder;
    #[cfg(feature = "tables")]
    pub use crate::data::Table;
    pub use crate::data::{DataLoader, Dataset, MnistData, TensorDataset, accuracy};
    pub use crate::job::TrainJob;
    pub use crate::nn::{
        AdaptiveAvgPool2d, AvgPool1d, AvgPool2d, BatchNorm, Conv1d, Conv2d, ConvTranspose2d,
        Dropout, Dropout2d, Embedding, Flatten, Gelu, GroupNorm, Gru, Layer, LayerNorm, Linear,
        LogSoftmax, Lstm, MaxPool1d, MaxPool2d, MultiheadAttention, Relu, Residual, Sequential,
        Sigmoid, Silu, Softmax, Tanh,
    };
    pub use crate::onnx;
    pub use crate::ops::{
        Conv1dConfig, Conv2dConfig, Pool1dConfig, Pool2dConfig, cross_entropy, l1_loss,
        log_softmax, mse_loss, nll_loss, relu, softmax,
    };
    pub use crate::optim::{Adam, AdamW, Optimizer, Schedule, Sgd, clip_grad_norm};
    pub use crate::random::{Random, manual_seed};
    pub use crate::ranks::{Environment, Meeting, Ranks};
    pub use crate::recipes::{Mnist, MnistNet};
    pub use crate::serving::{self, Serve, Server};
    pub use crate::strings::{StringTensor, constant};
    pub use crate::trainer::{History, Step, TrainError, Trainer, Watcher};
    pub use crate::{layers, sequential};
}
