//! Tensors and training for notebook cells. Knows no notebook: how its values look is text and HTML.

mod cpu;
pub mod ops;
pub mod random;
pub mod show;
pub mod strings;

/// What a cell sees without `use`.
pub mod prelude {
    pub use candle_core::{self, D, DType, Device, IndexOp, Module, ModuleT, Shape, Tensor, Var};
    pub use candle_nn;

    pub use crate::strings::{StringTensor, constant};
}
