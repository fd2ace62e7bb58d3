//! Networks on real engines. Those of ONNX Runtime need its library: `ORT_DYLIB_PATH`, or the environment of `make test`.
#![allow(clippy::unwrap_used)] // The helpers around the tests panic like the tests.

#[cfg(feature = "onnxruntime")]
mod files;
#[cfg(feature = "rten")]
mod graphs;
#[cfg(feature = "onnxruntime")]
mod mutations;
#[cfg(feature = "onnxruntime")]
mod networks;
#[cfg(all(feature = "onnxruntime", feature = "rten"))]
mod nodes;
#[cfg(all(feature = "onnxruntime", feature = "pictures"))]
mod pictures;
#[cfg(feature = "rten")]
mod refused;
#[cfg(all(feature = "rten", feature = "pictures"))]
mod rten;
#[allow(dead_code)] // Without an engine there is nothing to find.
mod site;
mod tensors;
