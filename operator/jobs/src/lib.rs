//! TFJobs, PyTorchJobs and TrainJobs as data: their shapes in every version of their API, how one becomes another, what defaults and
//! mistakes they have, and what their processes find in their environment. It asks no cluster and links no tensor library.

pub mod convert;
pub mod crd;
pub mod environment;
pub mod job;
pub mod kind;
pub mod logs;
pub mod names;
pub mod original;
pub mod progress;
pub mod pytorchjob;
pub mod read;
mod schema;
pub mod spec;
pub mod status;
pub mod template;
pub mod tfjob;
pub mod trainjob;
mod validate;
