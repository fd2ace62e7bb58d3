//! Data for training: sets of items, the order in which ranks take them, batches made ahead.

#[cfg(feature = "tables")]
mod column;
pub mod idx;
#[cfg(feature = "images")]
mod image_folder;
mod loader;
pub mod mirror;
mod mnist;
mod sampler;
#[cfg(feature = "tables")]
mod table;

use candle_core::{DType, Result, Tensor, bail};

#[cfg(feature = "images")]
pub use image_folder::{ImageFolder, ImageFolderError};
pub use loader::{Batches, DataLoader};
pub use mnist::{Digits, MNIST_FILES, MnistData, MnistError};
pub use sampler::{Order, Partition, Sampler};
#[cfg(feature = "tables")]
pub use table::{Table, TableError};

/// A set of items that are taken in batches.
pub trait Dataset: Send + Sync {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Inputs and targets of the items at `indices`, with the batch as first dimension.
    ///
    /// # Errors
    /// When an index is too large, or an item cannot be read.
    fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor)>;
}

/// Items in memory: the first dimension of two tensors.
#[derive(Clone, Debug)]
pub struct TensorDataset {
    inputs: Tensor,
    targets: Tensor,
}

impl TensorDataset {
    /// # Errors
    /// When the tensors have not the same number of items.
    pub fn new(inputs: Tensor, targets: Tensor) -> Result<Self> {
        if inputs.dims().first() != targets.dims().first() || inputs.rank() == 0 {
            bail!(
                "inputs of {:?} and targets of {:?} are not equally many items",
                inputs.shape(),
                targets.shape()
            )
        }
        Ok(Self { inputs, targets })
    }
}

impl Dataset for TensorDataset {
    fn len(&self) -> usize {
        self.inputs.dims()[0]
    }

    fn batch(&self, indices: &[usize]) -> Result<(Tensor, Tensor)> {
        if let Some(index) = indices.iter().find(|index| **index >= self.len()) {
            bail!("there is no item {index} among {}", self.len())
        }
        let indices: Vec<u32> = indices.iter().map(|index| *index as u32).collect();
        let on = |tensor: &Tensor| {
            let indices = Tensor::from_slice(&indices, indices.len(), tensor.device())?;
            tensor.index_select(&indices, 0)
        };
        Ok((on(&self.inputs)?, on(&self.targets)?))
    }
}

/// The share of items whose greatest score is that of their target, for scores (n, classes) and n targets. Scores that
/// are not numbers guess nothing: an item that has one is not guessed right.
///
/// # Errors
/// When the shapes do not fit, or there are no items or classes.
pub fn accuracy(scores: &Tensor, targets: &Tensor) -> Result<f64> {
    let fits =
        matches!((scores.dims(), targets.dims()), ([n, classes], [m]) if n == m && n * classes > 0);
    if !fits {
        bail!(
            "accuracy: expected scores (n, classes) and n targets, got {:?} and {:?}",
            scores.shape(),
            targets.shape()
        )
    }
    let guesses = scores.argmax(1)?.to_dtype(targets.dtype())?;
    let right = guesses.eq(targets)?.to_dtype(DType::F64)?;
    let numbers = scores.eq(scores)?.to_dtype(DType::F64)?.min(1)?;
    (right * numbers)?.mean_all()?.to_scalar()
}
