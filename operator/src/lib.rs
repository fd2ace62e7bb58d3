//! Runs TFJobs and PyTorchJobs on a Kubernetes cluster.

pub mod certificate;
pub mod children;
pub mod controller;
pub mod crds;
pub mod leader;
pub mod memory;
pub mod metrics;
pub mod objects;
mod patch;
pub mod plan;
pub mod reconcile;
mod refusal;
pub mod run;
pub mod seen;
pub mod server;
pub mod webhook;
