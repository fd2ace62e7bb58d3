//! The jobs service: notebooks' training jobs on a Kubernetes cluster, asked for as `training/JOBS.md` says.

pub mod answer;
pub mod files;
mod functions;
pub mod hub;
pub mod jobs;
pub mod keys;
mod logs;
mod models;
pub mod objects;
pub mod options;
pub mod plan;
pub mod record;
mod records;
pub mod reports;
pub mod router;
pub mod run;
pub mod service;
pub mod store;
pub mod submission;
mod tend;
mod turns;
pub mod upload;
pub mod watch;
