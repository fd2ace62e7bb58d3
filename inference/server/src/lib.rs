//! The model server: networks of a repository of versions, by the protocols of TensorFlow Serving and KServe.

pub mod auth;
mod batching;
pub mod client;
pub mod config;
mod entry;
mod execute;
pub mod failure;
pub mod grpc;
pub mod http;
mod json;
mod json_tensor;
mod kserve_bytes;
mod metrics;
pub mod models;
mod names;
pub mod options;
pub mod proto;
pub mod repository;
pub mod run;
pub mod served;
pub mod service;
mod sleep;
mod statistics;
pub mod tensor_proto;
mod trace;
mod warm_up;
