//! Runs TFJobs, PyTorchJobs and TrainJobs on a Kubernetes cluster.

pub mod certificate;
pub mod children;
pub mod controller;
pub mod crds;
pub mod events;
mod kept;
pub mod leader;
pub mod memory;
pub mod metrics;
pub mod objects;
mod patch;
pub mod plan;
pub mod reconcile;
mod refusal;
pub mod reports;
pub mod resource;
pub mod run;
pub mod runtimes;
pub mod seen;
pub mod server;
pub mod usage;
pub mod webhook;
