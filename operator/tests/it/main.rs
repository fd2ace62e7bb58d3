//! The operator: what it makes of jobs without a cluster, and with one (`make test-cluster`).

mod certificate;
mod cluster;
mod definitions;
mod objects;
mod plan;
mod webhook;
mod world;
