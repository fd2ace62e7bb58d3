//! Tensors and training for notebook cells.
