//! Runs TFJobs and PyTorchJobs on a Kubernetes cluster.

pub mod crds;
