//! The training crate, operation by operation.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attention;
mod candle;
mod conv1d;
mod conv2d;
mod data;
mod embedding;
mod files;
mod fused;
mod gpu;
mod harness;
mod layers;
mod linear;
mod loss;
mod max_pool2d;
mod mnist;
mod nn;
mod norm;
mod not_a_number;
mod onnx;
mod optim;
mod pytorch;
mod random;
mod recurrent;
#[path = "../../ranks/tests/it/threads.rs"]
mod threads;
mod trainer;
