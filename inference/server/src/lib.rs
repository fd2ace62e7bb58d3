//! The model server: networks of a repository of versions, by the protocols of TensorFlow Serving and KServe.

pub mod auth;
mod batching;
pub mod child;
pub mod client;
pub mod config;
mod execute;
pub mod failure;
pub mod fetch;
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
mod statistics;
pub mod tensor_proto;
mod warm_up;
